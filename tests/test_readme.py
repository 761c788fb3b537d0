"""What README tells people to type exists and is understood."""

import re
import shlex
from pathlib import Path

import pytest

from analysis import __main__ as analysis_command
from sweeps import command, full_study

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def told() -> list[str]:
    """Every command in README's shell blocks."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_two_commands_come_first() -> None:
    assert told()[:2] == ["make study", "make test"]


def test_ci_runs_the_same_tests() -> None:
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("line", [line for line in told() if line.startswith("make ")])
def test_make_targets_exist(line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert line.split()[1] in targets


@pytest.mark.parametrize("line", [line for line in told() if "full_study.py" in line])
def test_study_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)
    options = full_study.parser().parse_args(words[words.index("sweeps/full_study.py") + 1 :])
    if not (options.list_methods or options.list_presets or options.study):
        command.read_study(options, default_preset=full_study.DEFAULT_PRESET)


@pytest.mark.parametrize("line", [line for line in told() if "-m analysis" in line])
def test_analysis_commands_are_understood(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    arguments = words[words.index("analysis") + 1 :]
    assert analysis_command.main([str(tmp_path), *arguments[1:]]) == 2  # parsed, and an empty folder is no study


def test_links_to_files_resolve() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_method_that_contributing_shows_is_picked_up_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pruning import methods, registry
    from sweeps import study
    from sweeps.plan import make_plan
    from trainables.environment import Environment
    from trainables.trial import Trial

    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    assert len(shown.splitlines()) <= 40
    (tmp_path / "smallest_square.py").write_text(shown)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "smallest_square" in registry.names()
    raw = {
        "name": "shown",
        "dataset": "digits",
        "model": "mlp",
        "recipe": {"epochs": 1},
        "sparsities": [0.9],
        "seeds": [0],
    }
    for trial in make_plan(study.build({**raw, "methods": ["smallest_square"]}, where="shown")).trials:
        walked = Trial(trial.spec, Environment(store=str(tmp_path / "study")))
        walked.run()
    assert walked.course.rows[-1]["method"] == "smallest_square"
    assert walked.course.rows[-1]["sparsity_reached"] == pytest.approx(0.9, abs=1e-4)


def test_the_table_of_methods_says_what_the_cards_say() -> None:
    """`make methods` renews it; a method that is not in it yet is no fault."""
    from pruning import registry

    written = (ROOT / "docs" / "methods.md").read_text().splitlines()
    assert set(written) <= set(registry.as_markdown().splitlines()), "run make methods"
    assert len(written) > 20
