"""The notebooks, their cells executed in order, without Colab: docs/colab.ipynb runs a study, and
the second time finds it done; docs/prune-your-network.ipynb prunes a trained network three ways."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_prune_your_network import NETWORK, draw_photos, train_network

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "colab.ipynb"
PRUNE = ROOT / "docs" / "prune-your-network.ipynb"
STUDY = (
    "--preset digits --methods magnitude --sparsities 0.9 --seeds 0 --set recipe.epochs=2 --set "
    "retrain.epochs=1 "
    "--set model=mlp --address local"
)

# What a notebook's kernel offers beyond plain Python: every display is told of in a line.
KERNEL = """
import sys, types
shown = types.ModuleType("IPython.display")
shown.Image = lambda filename: filename
shown.display = lambda what: print("displayed", what)
sys.modules["IPython"], sys.modules["IPython.display"] = types.ModuleType("IPython"), shown
sys.modules["IPython"].get_ipython = lambda: None  # which Ray asks for
sys.modules["IPython"].version_info = (9, 0)  # and matplotlib
"""


def cells(notebook: Path = NOTEBOOK) -> list[str]:
    """The source of every code cell."""
    content = json.loads(notebook.read_text())
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def execute(folder: Path, notebook: Path = NOTEBOOK, **settings: Any) -> str:
    """Run all cells in a process of their own, with the settings of the first replaced; what they
    print."""
    first, *rest = cells(notebook)
    for name, value in settings.items():
        first, count = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", first, flags=re.MULTILINE)
        assert count == 1, f"the first cell sets {name}"
    script = folder / "cells.py"
    script.write_text("\n\n".join([KERNEL, first, *rest]))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checkout(folder: Path) -> Path:
    """A repository with the files of this checkout, also those not committed yet."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "all"], check=True)
    return folder


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_runs_a_study_and_finds_it_done_the_second_time(tmp_path: Path) -> None:
    repository = checkout(tmp_path / "repository")
    session = tmp_path / "session"
    session.mkdir()
    settings = {"REPOSITORY": repository.as_uri(), "STUDY": STUDY, "OUT": str(tmp_path / "drive")}

    told = execute(session, **settings)
    assert f"project: {session / 'project'}" in told, "cloned"
    assert "starting: 0 of 2 trials done, 2 to run" in told
    assert "2 of 2 trials done" in told
    figures = [line.split()[1] for line in told.splitlines() if line.startswith("displayed ")]
    assert figures and all(Path(figure).is_file() for figure in figures)
    written = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "drive" / "rows").rglob("*.parquet")
    }
    assert len(written) == 2

    another = tmp_path / "another session"  # the machine is a new one, the Drive is the same
    another.mkdir()
    told = execute(another, **settings)
    assert "starting" not in told and "continuing" not in told
    assert "2 of 2 trials done" in told
    assert "displayed " in told
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "drive" / "rows").rglob("*.parquet")
    } == written


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_checkpoint_is_pruned_three_ways_and_ends_as_an_onnx_file(tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime
    import pandas as pd

    session = tmp_path / "session"
    session.mkdir()
    draw_photos(tmp_path / "photos")
    known = train_network(tmp_path)
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path, "photos")
    settings = {
        "REPOSITORY": checkout(tmp_path / "repository").as_uri(),
        "MODEL": NETWORK,
        "WEIGHTS": str(tmp_path / "trained.pth"),
        "PHOTOS": str(tmp_path / "photos.zip"),
        "IMAGE_SIZE": 64,
        "SPARSITIES": [0.5],
        "EPOCHS": 1,
        "ADDRESS": "local",
    }
    told = execute(session, PRUNE, **settings)
    assert "4 of 4 trials done" in told and "end='done'" in told
    figures = [line.split()[1] for line in told.splitlines() if line.startswith("displayed ")]
    assert figures and all(Path(figure).is_file() for figure in figures)
    rows = pd.concat(map(pd.read_parquet, (session / "prune/study/rows").rglob("*.parquet")))
    dense = rows[rows["method"] == "dense"]
    one_image = 100 / dense["test_images"].iloc[0]  # that bf16 may tell otherwise
    assert dense["test_top1"].tolist() == [pytest.approx(known, abs=1.01 * one_image)]
    assert set(rows["method"]) == {"dense", "magnitude", "l1_filter", "sparsegpt"}
    network = onnxruntime.InferenceSession(str(session / "prune/onnx/network.onnx"))
    (logits,) = network.run(None, {"images": np.zeros((3, 3, 64, 64), np.float32)})
    assert logits.shape == (3, 3)


@pytest.mark.parametrize("notebook", [NOTEBOOK, PRUNE], ids=lambda path: path.stem)
def test_is_a_clean_notebook(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert content["nbformat"] == 4
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            compile("".join(cell["source"]), "cell", "exec")  # plain Python: no magics


@pytest.mark.parametrize("notebook", [NOTEBOOK, PRUNE], ids=lambda path: path.stem)
def test_the_address_is_a_placeholder_until_there_is_one(notebook: Path) -> None:
    assert 'REPOSITORY = "https://github.com/OWNER/REPOSITORY.git"' in cells(notebook)[0]
