"""What CONTRIBUTING shows is done, in a copy of the project: each file is picked up and passes its
contract tests."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pruning import registry
from tests.markdown_blocks import BLOCK, apply_diffs, read_commands, read_files, write_files

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PARTS = ("analysis", "models", "pruning", "sweeps", "tests", "trainables", "pyproject.toml")


def section(title: str) -> str:
    return re.split(r"^## ", CONTRIBUTING, flags=re.MULTILINE)[1:][TITLES.index(title)]


TITLES = re.findall(r"^## (.*)$", CONTRIBUTING, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which all is done that CONTRIBUTING shows."""
    folder = tmp_path_factory.mktemp("copy")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)  # compiled files are valid there, too
        else:
            shutil.copy(ROOT / part, folder / part)
    write_files(CONTRIBUTING, folder)
    apply_diffs(CONTRIBUTING, folder)
    return folder


def run(line: str, folder: Path) -> str:
    """Run a line of a block in the copy, with this Python; what it printed."""
    command, *words = shlex.split(line)
    assert command in ("python", "pytest"), line
    module = ["-m", "pytest", "-p", "no:cacheprovider"] if command == "pytest" else []
    done = subprocess.run(
        [sys.executable, *module, *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# Runs scripts one after the other in one process, which imports once.
SCRIPTS = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, (words, end.code)
    print("END", flush=True)
"""


def run_scripts(lines: list[str], folder: Path) -> list[str]:
    """Run lines `python FILE ...` in the copy, all in one process, because every start costs
    seconds; what each printed."""
    words = [shlex.split(line) for line in lines]
    assert all(line[0] == "python" for line in words), lines
    done = subprocess.run(
        [sys.executable, "-c", SCRIPTS, json.dumps([line[1:] for line in words])],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
    *told, end = done.stdout.split("END\n")
    assert len(told) == len(lines) and not end, done.stdout
    return told


def commands(title: str) -> list[str]:
    return [line for block in read_commands(section(title)) for line in block.splitlines()]


def test_it_begins_with_what_is_added_most_often() -> None:
    assert TITLES[:4] == ["Add a method", "Add a model", "Add a data set", "Add a figure"]
    assert all(read_files(section(title)) for title in TITLES[:4])


def test_everything_shown_passes_make_lint(copy: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")
    shown = [copy / name for _, name, _ in BLOCK.findall(CONTRIBUTING)]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *check, *map(str, shown)], cwd=copy, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_method_passes_the_whole_contract(copy: Path) -> None:
    assert " passed" in run(commands("Add a method")[1], copy)


@pytest.mark.slow
def test_the_model_passes_the_contract(copy: Path) -> None:
    (contract,) = commands("Add a model")
    assert "4 passed" in run(contract, copy)


def test_the_method_is_listed_and_the_data_set_read(copy: Path) -> None:
    from trainables.data import prepared

    listed, _, renewed = commands("Add a method")
    assert f"\n{renewed.split()[1]}:" in (ROOT / "Makefile").read_text()
    written, planned = commands("Add a data set")
    downloaded = planned.replace("dataset=shapes --data-dir data", "dataset=kmnist")
    methods, _, *plans = run_scripts([listed, written, planned, downloaded], copy)
    assert "smallest_square" in methods
    assert "on shapes" in plans[0] and "on kmnist" in plans[1]
    path = prepared.prepare("shapes", data_dir=copy / "data", cache=copy / "cache")
    data = prepared.load_prepared(path)
    assert (data.image, data.classes) == ((1, 16, 16), 2)
    assert (len(data.train_y), len(data.val_y)) == (450, 50)


@pytest.mark.slow
def test_the_figure_passes_the_contract(copy: Path) -> None:
    (contract,) = commands("Add a figure")
    assert "3 passed" in run(contract, copy)


def test_method_table_column_schedule_and_logger_pass_the_tests_that_are_shown(copy: Path) -> None:
    """One run for all five, because every start costs seconds; of the method's contract one test,
    that it reaches its sparsity."""
    titles = TITLES[4:8]
    assert [title.split()[2] for title in titles] == ["table", "column", "learning-rate", "logger"]
    lines = [line for title in titles for line in commands(title)]
    assert all(line.startswith("pytest tests/") for line in lines) and len(lines) == 4
    contract = commands("Add a method")[1].partition(" -k ")[0].split()[1]
    case = "smallest_square-tests.contract.small_networks:residual"
    reached = f"{contract}::test_it_reaches_the_requested_sparsity[{case}]"
    run(" ".join(["pytest", reached, *(line.removeprefix("pytest ") for line in lines)]), copy)


def test_tests_that_are_named_are_there() -> None:
    lines = [line.split()[1:] for line in commands("Run the tests")]
    assert len(lines) == 4
    for words in lines:
        path, _, name = next(word for word in words if word.startswith("tests/")).partition("::")
        text = (ROOT / path).read_text()
        assert f"def {name}" in text
        if "-k" in words:
            assert words[-1] in text or words[-1] in registry.list_methods()


def test_every_diff_is_of_a_file_that_is_there() -> None:
    named = [name for kind, name, _ in BLOCK.findall(CONTRIBUTING) if kind == "diff"]
    assert len(named) >= 12 and all((ROOT / name).exists() for name in named)


def test_links_resolve() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", CONTRIBUTING):
        assert (ROOT / target).exists(), target
