"""docs/colab.ipynb, its cells executed in order: the first time it runs a study, the second time it
finds it done."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "colab.ipynb"
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
"""


def cells() -> list[str]:
    """The source of every code cell."""
    content = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def execute(folder: Path, **settings: str) -> str:
    """Run all cells in a process of their own, with the settings of the first replaced; what they
    print."""
    first, *rest = cells()
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
        timeout=300,
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


def test_is_a_clean_notebook() -> None:
    content = json.loads(NOTEBOOK.read_text())
    assert content["nbformat"] == 4
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            compile("".join(cell["source"]), "cell", "exec")  # plain Python: no magics


def test_the_address_is_a_placeholder_until_there_is_one() -> None:
    assert 'REPOSITORY = "https://github.com/OWNER/REPOSITORY.git"' in cells()[0]
