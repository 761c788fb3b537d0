"""The model card: its numbers are the row's, and the code it shows runs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.export.small_study import DENSE, MASKED, SLIM, images, read_row
from trainables.export import export
from trainables.storage import parquet_tables
from trainables.trial_spec import TrialSpec


def table_of(card: str) -> dict[str, str]:
    """The entries of the card's tables."""
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", card, flags=re.MULTILINE))


@pytest.mark.parametrize("spec", [DENSE, MASKED, SLIM], ids=lambda spec: spec.method)
def test_the_cards_numbers_are_the_rows(
    spec: TrialSpec, study: Path, exported: Callable[..., Path]
) -> None:
    row = read_row(study, spec, 0 if spec.method == "dense" else 1)
    found = table_of((exported(spec) / "README.md").read_text())

    def number(name: str) -> float:
        return float(re.split(r"[ x]", found[name])[0].replace(",", ""))

    assert number("test top-1") == round(row["test_top1"], 2)
    assert number("test top-5") == round(row["test_top5"], 2)
    assert number("test loss") == round(row["test_loss"], 4)
    assert number("validation top-1") == round(row["val_top1"], 2)
    assert number("sparsity requested") == row["sparsity"]
    assert number("sparsity reached") == round(row["sparsity_reached"], 6)
    assert number("parameters") == row["params"] and number("nonzero parameters") == row["nonzero"]
    assert number("compression") == round(row["compression"], 2)
    assert number("MACs per image") == row["macs"]
    assert number("MACs per image without those of zeros") == round(row["effective_macs"])
    assert (
        number("seed") == row["seed"]
        and found["data set"] == "digits"
        and found["method"] == f"`{spec.method}`"
    )
    assert (
        found["key"] == f"`{spec.key}`"
        and found["digest of weights and masks"] == f"`{row['digest']}`"
    )
    assert found["versions"] == row["versions"] and found["study"] == "homework"
    assert (
        found["training recipe"]
        == "augment = none, batch = 400, epochs = 1, lr = 0.05, precision = fp32"
    )
    if spec.method == "dense":
        assert (
            found["knobs"] == "it has none"
            and "dense network of the same seed, test top-1" not in found
        )
    else:
        assert "scope = " in found["knobs"] or "mode = " in found["knobs"]
        assert "arXiv" in found["paper"]
        assert number("dense network of the same seed, test top-1") == round(
            read_row(study, DENSE, 0)["test_top1"], 2
        )


@pytest.mark.parametrize("to", ["safetensors", "state_dict", "onnx"])
def test_what_the_card_shows_to_type_works(
    to: Any, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = exported(SLIM, to, "slim")
    monkeypatch.chdir(out)
    blocks = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["network"](images(2)).shape == (2, 10)
    assert names["logits"].shape == (1, 10) if to == "onnx" else "fc.weight" in names["weights"]


def test_a_network_that_came_out_otherwise_is_exported_with_its_own_numbers(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    row = {
        **read_row(study, MASKED),
        "digest": "0123456789abcdef",
        "test_top1": 99.99,
    }  # as another machine has it
    (folder / f"rows/{MASKED.key}.parquet").write_bytes(parquet_tables.encode_table("rows", [row]))
    card = (export(MASKED.key, folder, out=tmp_path / "out") / "README.md").read_text()
    assert "was trained again" in card and "has 99.99 % test top-1 for the first one" in card
    assert table_of(card)["test top-1"] == f"{read_row(study, MASKED)['test_top1']:.2f} %"
