"""docs/in-your-own-code.md, executed from its first block to its last.

Covers: sweeps/cli/python_study.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import pruning
from pruning.masks import prunable
from tests.markdown_blocks import read_files, write_files

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "in-your-own-code.md").read_text()
BLOCKS = re.findall(r"^(<!-- runs a study -->\n)?```python\n(.*?)^```", TEXT, re.DOTALL | re.M)
IMAGE = (3, 32, 32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page shows, from which its blocks run."""
    write_files(TEXT, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in read_files(TEXT):
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    return tmp_path


def execute(blocks: list[str]) -> dict[str, Any]:
    """Run blocks one after the other in one namespace."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/in-your-own-code.md", "exec"), names)
    return names


def test_the_blocks_run_and_print_what_the_page_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = execute([block for study, block in BLOCKS if not study])
    printed = capsys.readouterr().out
    shown = re.search(r"^```text\n(.*?)^```", TEXT, re.DOTALL | re.M)
    assert shown
    assert [re.sub(r"\b227,896\b", "N", line) for line in shown[1].splitlines()] == [
        re.sub(r"(-> [\d,]+, )[\d,]+", r"\1N", line) for line in printed.splitlines()[:2]
    ]
    assert names["taylor"].macs < names["taylor"].macs_before / 1.5
    assert names["schedule"].done == 30 and names["pruned"].sparsity == pytest.approx(0.9, abs=1e-3)
    assert names["ticket"].sparsity == pytest.approx(0.7, abs=1e-3)
    x = torch.randn(2, *IMAGE)
    assert torch.equal(names["again"].model(x), names["ticket"].model.eval()(x))
    assert (folder / "ticket.onnx").stat().st_size > 10_000
    assert "study small: resnet8 on digits; 2 seeds" in printed
    assert not (folder / "studies").exists()


def test_the_block_of_the_readme_runs(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.M)
    (block,) = [block for block in blocks if "pruning.prune" in block]
    names = execute([BLOCKS[0][1], block])
    assert names["pruned"].sparsity == 0.9


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_training_script_leaves_masked_weights_exactly_zero(name: str, folder: Path) -> None:
    import finetune

    torch.manual_seed(0)
    names = execute([BLOCKS[0][1]])
    generator = torch.Generator().manual_seed(0)
    images = [
        (torch.randn(32, *IMAGE, generator=generator), torch.randint(10, (32,))) for _ in range(4)
    ]
    pruned = pruning.prune(names["model"], "magnitude", 0.9, image=IMAGE)
    before = {n: w.detach().clone() for n, w in prunable(pruned.model).items()}
    finetune.finetune(pruned, images, finetune.OPTIMIZERS[name])
    for n, weight in prunable(pruned.model).items():
        assert not weight[~pruned.masks[n]].any()
        assert not torch.equal(weight, before[n])
    assert pruned.sparsity == round(0.9 * 5360) / 5360
    lines = (folder / "finetune.py").read_text().partition("def finetune")[2].strip().splitlines()
    assert len(lines) <= 30


def finetuned(pruned: pruning.Pruned) -> None:
    """Pass if the network was trained, and its masked weights are zero."""
    assert pruned.sparsity == round(0.9 * pruned.prunable_weights) / pruned.prunable_weights
    for name, weight in prunable(pruned.model).items():
        assert not weight[~pruned.masks[name]].any()
        assert weight.grad is None or weight.grad.isfinite().all()


IMAGES = [(torch.randn(*IMAGE), index % 10) for index in range(64)]


@pytest.mark.filterwarnings("ignore")  # of Lightning: few workers
def test_lightning_trains_under_the_masks(folder: Path) -> None:
    pytest.importorskip("lightning", reason="needs pip install '.[lightning]'")
    import finetune_lightning

    pruned = pruning.prune(execute([BLOCKS[0][1]])["model"], "magnitude", 0.9, image=IMAGE)
    before = prunable(pruned.model)["0.weight"].detach().clone()
    finetune_lightning.finetune(
        pruned, torch.utils.data.DataLoader(IMAGES, 16), accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_checkpointing=False,
    )  # fmt: skip
    finetuned(pruned)
    assert not torch.equal(prunable(pruned.model)["0.weight"], before)


def test_trainer_trains_under_the_masks(folder: Path) -> None:
    pytest.importorskip("transformers", reason="needs pip install '.[transformers]'")
    pytest.importorskip("accelerate", reason="needs pip install '.[transformers]'")
    import finetune_trainer

    pruned = pruning.prune(execute([BLOCKS[0][1]])["model"], "magnitude", 0.9, image=IMAGE)
    before = prunable(pruned.model)["0.weight"].detach().clone()
    images = [{"input": image, "labels": label} for image, label in IMAGES]
    finetune_trainer.finetune(
        pruned, images, output_dir=str(folder), use_cpu=True, report_to=[], save_strategy="no",
        disable_tqdm=True, per_device_train_batch_size=16,
    )  # fmt: skip
    finetuned(pruned)
    assert not torch.equal(prunable(pruned.model)["0.weight"], before)


def test_a_network_of_hugging_face_is_pruned_for_its_logits_and_trained_whole(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs '.[transformers]'")
    pytest.importorskip("accelerate", reason="needs pip install '.[transformers]'")
    from logits import Logits

    from pruning.callbacks.trainer_callback import TrainerMaskCallback

    network = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10
        )
    )
    batch = (torch.stack([x for x, _ in IMAGES]), torch.tensor([y for _, y in IMAGES]))
    pruned = pruning.prune(Logits(network), "snip", 0.9, batches=[batch])
    transformers.Trainer(
        model=pruned.model.network,
        args=transformers.TrainingArguments(
            output_dir=str(folder), max_steps=3, use_cpu=True, report_to=[], save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=[{"pixel_values": x, "labels": y} for x, y in IMAGES],
        callbacks=[TrainerMaskCallback(pruned)],
    ).train()  # fmt: skip
    finetuned(pruned)


@pytest.mark.slow
def test_the_test_of_the_page_is_one(folder: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_method.py",
         "-k", "says_what_it_is or saved"],
        cwd=folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_its_study_runs_and_goes_on_with_the_command_line(folder: Path) -> None:
    blocks = [block.replace("study.run()", 'study.run(address="local")') for _, block in BLOCKS]
    study = [block for block in blocks if "Study(" in block or "study.run" in block]
    names = execute([*study, blocks[-1]])
    assert (names["end"].end, names["end"].done, names["end"].missing) == ("done", 10, 0)
    rows: pd.DataFrame = names["rows"]
    assert len(rows) == 10 and {"Dense", "Magnitude"} <= set(rows["label"])
    assert Path(names["page"]).read_bytes()[:9].lower().startswith(b"<!doctype")
    again = names["study"].run(address="local")
    assert (again.end, again.done) == ("done", 10)


def test_files_of_the_page_have_their_names() -> None:
    assert list(read_files(TEXT)) == [
        "finetune.py", "finetune_lightning.py", "finetune_trainer.py", "logits.py", "seaborn",
        "test_my_method.py",
    ]  # fmt: skip
