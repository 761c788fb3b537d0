"""docs/own-model-and-method.md, executed from its first block to its last in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.markdown_blocks import read_commands, read_files, write_files

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "own-model-and-method.md"
TEXT = PAGE.read_text()
SETUP, CHECKS, STUDY = read_commands(TEXT)


def run(block: str, folder: Path) -> str:
    """Run a block as a shell does, with this Python; studies get a Ray of their own."""
    if "pytest" not in block:  # whatever runs on this machine is no business of a test
        block = re.sub(
            r"(full_study\.py.* --study \S+)$", r"\1 --address local", block, flags=re.MULTILINE
        )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PRUNING": str(ROOT), "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the page shows, and nothing else."""
    write_files(TEXT, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lamp.py", "mine.yaml", "my_net.py"]
    return tmp_path


def test_the_setup_names_what_make_study_makes() -> None:
    assert "export PRUNING=" in SETUP and '. "$PRUNING/.venv/bin/activate"' in SETUP
    assert "$(VENV)/installed" in (ROOT / "Makefile").read_text()


def test_the_method_is_listed_and_the_study_planned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process; the slow tests run the commands as a shell does."""
    from sweeps import full_study

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "my_net", None)  # after the test there is none
    del sys.modules["my_net"]
    for block in (CHECKS, STUDY):
        python, script, *words = shlex.split(block.splitlines()[0])
        assert (python, script) == ("python", "$PRUNING/sweeps/full_study.py")
        assert full_study.main(words) == 0
    output = capsys.readouterr().out
    assert re.search(
        r"^lamp \(unstructured\)\n +remove weights that are small", output, re.MULTILINE
    )
    assert "study mine: my_net:tiny on digits; 2 seeds" in output
    assert re.search(r"^lamp +4 +0 +4 ", output, re.MULTILINE)
    assert not (folder / "studies").exists()


def test_the_score_is_that_of_the_paper(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.syspath_prepend(folder)
    score = __import__("lamp").score
    weight = torch.tensor([[0.5, -2.0], [1.0, -0.1]])
    squares = [0.25, 4.0, 1.0, 0.01]
    expected = [value / sum(other for other in squares if other >= value) for value in squares]
    torch.testing.assert_close(score(weight).flatten(), torch.tensor(expected))
    assert not score(torch.zeros(3, 3)).any()


@pytest.mark.slow
def test_it_passes_the_contract(folder: Path) -> None:
    assert re.search(r"\b[89] passed|\b\d\d passed", run(CHECKS, folder))


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_the_study_runs_to_its_table_and_a_changed_method_runs_anew(folder: Path) -> None:
    output = run(STUDY, folder)
    assert "14 of 14 trials done" in output
    for line in ("Dense", "LAMP", "Magnitude", "L1 filter"):
        assert re.search(rf"^\| {line} +\|.*\d\d\.\d\d \[\d", output, re.MULTILINE), output
    assert list((folder / "studies/mine/report/figures").glob("*.png"))
    assert yaml.safe_load((folder / "studies/mine/study.yaml").read_text())["method_path"] == [
        str(folder / "lamp.py")
    ]
    assert len(list((folder / "studies/mine/methods").glob("lamp-*.py"))) == 1

    (folder / "lamp.py").write_text(read_files(TEXT)["lamp.py"] + "\n# changed\n")
    output = run(STUDY.splitlines()[1], folder)
    assert "method 'lamp' has changed since it ran here: its trials run anew" in output
    assert "continuing: 10 of 14 trials done, 4 to run" in output
    assert len(list((folder / "studies/mine/rows").rglob("*.parquet"))) == 18
    run(STUDY.splitlines()[2], folder)
    report = (folder / "studies/mine/report/report.md").read_text()
    assert "left out 4 trials of method 'lamp' that ran with another content of its file" in report


def test_links_resolve() -> None:
    for page in (PAGE, ROOT / "docs" / "own-models.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["own-model-and-method.md", "own-models.md"])
def test_every_command_is_understood(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeps import full_study

    for block in read_commands((ROOT / "docs" / page).read_text()):
        for line in block.splitlines():
            if "full_study.py" in line:
                words = shlex.split(line)
                full_study.make_parser().parse_args(words[2:])
