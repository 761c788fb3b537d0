"""What README tells people to type exists and is understood."""

import csv
import re
import shlex
import sys
from pathlib import Path

import pytest

from analysis import __main__ as analysis_command
from pruning import registry
from sweeps import full_study, synflow_search
from sweeps.cli.study_request import read_study
from tests.markdown_blocks import read_files, write_files
from trainables.export import command as export_command

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
STUDIES = "python sweeps/full_study.py"
KNOWN = (
    "make ",
    f"{STUDIES} ",
    "python sweeps/synflow_search.py",
    "python -m analysis ",
    "python -m trainables.export ",
)
CLUSTERS = ("python clusters/check.py ", "ray ")


def list_commands() -> list[str]:
    """Every command in README's shell blocks."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", README, flags=re.DOTALL)
    lines = [
        line.split(" #")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_two_commands_come_first() -> None:
    assert list_commands()[:2] == ["make study", "make test"]
    assert list(read_files(README)) == ["my_study.yaml", "trained.yaml"]


def test_every_command_is_of_a_kind_that_is_tested_here() -> None:
    for line in list_commands():
        assert line.startswith((*KNOWN, *CLUSTERS)), line


def test_ci_runs_the_same_tests() -> None:
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


def test_its_table_has_the_numbers_of_the_study_that_the_methods_pages_show() -> None:
    wanted: dict[str, list[str]] = {}
    with (ROOT / "docs" / "trained_cifar10.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["n"] == "3"
            mean, low, high = (f"{float(row[name]):.2f}" for name in ("mean", "low", "high"))
            wanted.setdefault(row["method"], []).append(f"{mean} [{low}, {high}]")
    _, _, table = README.partition("| Method ")
    lines = [line.strip("|").split("|") for line in table.split("\n\n")[0].splitlines()[2:]]
    found = [
        [text for cell in cells if (text := cell.strip(" *"))]
        for label, _, *cells in lines
        if "2:4" not in label  # the methods' pages have no patterns
    ]
    assert sorted(found) == sorted(wanted.values())


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in list_commands() if line.startswith("make ")])
def test_make_targets_exist(line: str) -> None:
    assert line.split()[1] in targets()


def test_make_targets_in_the_text_exist() -> None:
    assert set(re.findall(r"`make ([a-z-]+)", README)) >= {"study", "docs"}
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= set(targets())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that README and the tutorial it names show."""
    write_files(README, tmp_path)
    write_files((ROOT / "docs" / "own-model-and-method.md").read_text(), tmp_path)
    monkeypatch.setitem(sys.modules, "my_net", None)  # after the test there is none
    del sys.modules["my_net"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_USER_METHODS", {})
    return tmp_path


@pytest.mark.parametrize("line", [line for line in list_commands() if line.startswith(STUDIES)])
def test_study_commands_are_understood(line: str, folder: Path) -> None:
    options = full_study.make_parser().parse_args(shlex.split(line)[2:])
    if not (options.list_methods or options.list_presets):
        read_study(options, default_preset=full_study.DEFAULT_PRESET)


DRY = [line for line in list_commands() if line.startswith(STUDIES) and "--dry-run" in line]


@pytest.mark.parametrize("line", [*DRY, f"{STUDIES} --study my_study.yaml --dry-run"])
def test_dry_runs_run(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, because every start costs seconds."""
    assert full_study.main(shlex.split(line)[2:]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert re.search(r"^total +[1-9]", told, re.MULTILINE)
    assert "my_study" not in line or "resnet20 on cifar10; 3 seeds" in told


def test_the_study_of_a_trained_network_is_a_valid_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "trained.pth").touch()
    options = full_study.make_parser().parse_args(["--study", "trained.yaml"])
    spec = read_study(options, default_preset="full")
    assert spec.weights is not None and spec.weights.source == str(folder / "trained.pth")
    assert (spec.recipe.epochs, spec.image_size, spec.data_dir) == (0, 224, str(folder))


@pytest.mark.parametrize("line", [line for line in list_commands() if "synflow_search.py" in line])
def test_search_commands_are_understood(line: str) -> None:
    synflow_search.make_parser().parse_args(shlex.split(line)[2:])


@pytest.mark.parametrize("line", [line for line in list_commands() if "-m analysis" in line])
def test_analysis_commands_are_understood(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    arguments = words[words.index("analysis") + 1 :]
    assert (
        analysis_command.main([str(tmp_path), *arguments[1:]]) == 2
    )  # parsed, and an empty folder is no study


@pytest.mark.parametrize("line", [line for line in list_commands() if "trainables.export" in line])
def test_export_commands_are_understood(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line)[3:]
    words[words.index("--study") + 1] = str(tmp_path)
    assert export_command.main(words) == 2  # parsed, and an empty folder is no study
    assert "usage" not in capsys.readouterr().err


@pytest.mark.parametrize("line", [line for line in list_commands() if line.startswith(CLUSTERS)])
def test_cluster_commands_name_what_is_there(line: str) -> None:
    words = shlex.split(line)
    assert (ROOT / next(word for word in words if word.endswith(".yaml"))).is_file()
    if words[0] == "python":
        assert (ROOT / words[1]).is_file()
    if words[:2] == ["ray", "exec"]:
        inner = words[-1].split(" && ")[1]
        assert inner.startswith(STUDIES) and full_study.make_parser().parse_args(
            shlex.split(inner)[2:]
        ).out.startswith("s3://")


def test_links_to_files_resolve() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_methods_named_are_of_the_kind_that_is_said() -> None:
    """A method that is not in the table yet is no fault."""
    rows = re.findall(
        r"^\| (baseline|unstructured|structured|controls)[^|]*\| (.*) \|$", README, re.MULTILINE
    )
    assert len(rows) == 4
    named = {
        name: kind.removesuffix("s")
        for kind, names in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert len(named) >= 23
    assert named == {name: registry.find_method_class(name).card.kind for name in named}


def test_the_table_of_methods_says_what_the_cards_say() -> None:
    """`make methods` renews it; a method that is not in it yet is no fault."""
    written = (ROOT / "docs" / "methods.md").read_text().splitlines()
    assert set(written) <= set(registry.as_markdown().splitlines()), "run make methods"
    assert len(written) > 20


def test_numbers_that_are_quoted_stand_where_they_were_measured() -> None:
    faults, results = (
        (ROOT / "docs/fault-tolerance.md").read_text(),
        (ROOT / "benchmarks/RESULTS.md").read_text(),
    )
    assert "117 of 117 trials" in README and re.search(
        r"^\| all +\| 100 \| +117 \| +117 \|", faults, re.MULTILINE
    )
    assert "all 35 trials" in README and "all of 35 trials" in faults
    assert "0.91 to 1.09" in README and "0.91 to 1.09 in eight measurements" in results
    assert re.search(
        r"l1_filter all, 75 % \| 3.99 \| 3,059 \(1,132\) \| 10 \| 3.58 \| 3.33", results
    )


def test_version_licence_and_citation_agree() -> None:
    import tomllib

    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (
        re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
        and citation["version"] == project["version"]
    )
    assert citation["license"] == project["license"] == "Apache-2.0"
    assert (
        "Apache License" in (ROOT / "LICENSE").read_text()
        and "Version 2.0" in (ROOT / "LICENSE").read_text()
    )


def test_hooks_before_a_commit_are_those_of_make_lint() -> None:
    import yaml

    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local", "nothing is fetched, no version is named twice"
    entries = {hook["entry"].split(" --")[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert entries == {"ruff check", "ruff format", "mypy"} and all(
        f"$(BIN)/{entry}" in lint for entry in entries
    )
