"""docs/prune-your-network.md, executed from its first block to its last in a folder with a trained
network and images; the study for one of its three seeds, on a residual network that is smaller than
the page's, whose widest layers take SparseGPT half a minute each."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.markdown_blocks import read_commands, write_files

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "prune-your-network.md").read_text()
SETUP, STUDY, EXPORT, ANSWER = read_commands(TEXT)
NETWORK = "timm:test_resnet"
CLASSES = ("apple", "birch", "cloud")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def draw_photos(folder: Path) -> None:
    """JPEG files of many sizes, whose classes differ in tint under much noise."""
    generator = np.random.default_rng(3)
    for split, count in (("train", 16), ("val", 10)):
        for number, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                height, width = generator.integers(40, 160, 2)
                pixels = generator.normal(120, 60, (height, width, 3))
                pixels[..., number] += generator.normal(8, 6)
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / name / f"{index:02d}.jpg", quality=90)


def train_network(folder: Path) -> float:
    """A network whose last layer is fitted to the photos, saved as training scripts do; its
    accuracy on the photos of `val` in percent, computed without the project."""
    import timm
    from torchvision import datasets
    from torchvision.transforms import v2

    evaluation = v2.Compose(
        [
            v2.PILToTensor(),
            v2.Resize(73, antialias=True),
            v2.CenterCrop(64),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    torch.manual_seed(0)
    model = timm.create_model(NETWORK.removeprefix("timm:"), num_classes=len(CLASSES)).eval()
    head, model.fc = model.fc, torch.nn.Identity()
    features = {}
    with torch.no_grad():
        for split in ("train", "val"):
            photos = datasets.ImageFolder(folder / "photos" / split, evaluation)
            x, y = zip(*photos, strict=True)
            features[split] = model(torch.stack(x)), torch.tensor(y)
        x, y = features["train"]
        centred = x - x.mean(0)
        targets = torch.nn.functional.one_hot(y).float()
        ridge = centred.T @ centred + 0.1 * torch.eye(x.shape[1])
        head.weight.copy_(torch.linalg.solve(ridge, centred.T @ targets).T)
        head.bias.copy_(targets.mean(0) - head.weight @ x.mean(0))
        model.fc = head
        x, y = features["val"]
        correct = (head(x).argmax(1) == y).sum()
    names = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": names, "epoch": 89, "best_prec1": 71.2}, folder / "trained.pth")
    return 100 * int(correct) / len(y)


def run(block: str, folder: Path) -> str:
    """Run a block as a shell does, with this Python; studies get a Ray of their own."""
    block = re.sub(
        r"(full_study\.py.* --study \S+)$", r"\1 --address local", block, flags=re.MULTILINE
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, capture_output=True, text=True, timeout=900,
        env={
            **os.environ, "PRUNING": str(ROOT), "PATH": path,
            "PRUNING_DATA_CACHE": str(folder / "cache"),
        },
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_is_understood() -> None:
    from sweeps import full_study

    for line in STUDY.splitlines():
        if "full_study.py" in line:
            full_study.make_parser().parse_args(shlex.split(line)[2:])


def test_links_resolve() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_from_a_file_and_a_folder_to_a_figure_and_an_onnx_file(tmp_path: Path) -> None:
    import pandas as pd

    draw_photos(tmp_path / "photos")
    known = train_network(tmp_path)
    assert 100 / len(CLASSES) < known < 100
    write_files(TEXT, tmp_path)
    study = tmp_path / "mine.yaml"
    for theirs, ours in (("seeds: [0, 1, 2]", "seeds: [0]"), ("torchvision:resnet18", NETWORK)):
        assert theirs in study.read_text()
        study.write_text(study.read_text().replace(theirs, ours))
    dry, launch, analysis = STUDY.splitlines()
    plan = run(dry, tmp_path)
    assert f"begins with: {NETWORK} with trained.pth (" in plan
    output = run(launch, tmp_path)
    assert "6 of 6 trials done" in output
    run(analysis, tmp_path)
    report = tmp_path / "studies/mine/report"
    assert list((report / "figures").glob("*.svg")) and (report / "report.html").exists()
    rows = pd.concat(map(pd.read_parquet, (tmp_path / "studies/mine/rows").rglob("*.parquet")))
    dense = rows[rows["method"] == "dense"]
    one_image = 100 / dense["test_images"].iloc[0]  # that bf16 may tell otherwise
    assert dense["test_top1"].tolist() == [pytest.approx(known, abs=1.01 * one_image)]
    assert set(rows["image_size"]) == {64} and rows["weights"].nunique() == 1
    run(EXPORT.replace("torchvision_resnet18", NETWORK.replace(":", "_")), tmp_path)
    config = json.loads((tmp_path / "smaller/config.json").read_text())
    assert config["mean"] == pytest.approx(MEAN) and config["image"] == [3, 64, 64]
    assert run(ANSWER, tmp_path).strip() in CLASSES
