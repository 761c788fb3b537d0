"""`--method-path`, `method_path:` and `--model`, from the command line to plan and directory,
without Ray.

Covers: sweeps/study_file/method_path.py, sweeps/synflow_search.py.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning import registry
from pruning.user_error import UserError
from sweeps import full_study, synflow_search
from sweeps.cli.study_request import read_study
from sweeps.planning.plan import make_plan
from sweeps.search.best_candidates import study_of_the_best
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_directory import check_same_search, write_search_description
from sweeps.search.search_spec import build_search
from trainables.storage.store import Store

METHOD = '''
from pruning.method import Card, Method

class Mine(Method):
    """Keep the largest weights."""
    card = Card("Mine", "-", "keeps the largest", "unstructured", "1 retraining", "never")
    power: float = 1.0
    def scores(self, inputs):
        return {name: weight.abs() for name, weight in inputs.weights.items()}
'''


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with the file, in a process that has learnt nothing."""
    monkeypatch.setattr(registry, "_USER_METHODS", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(METHOD)


def plan_of(*words: str) -> Any:
    return make_plan(
        read_study(full_study.make_parser().parse_args(list(words)), default_preset="digits")
    )


def test_the_option_and_the_field_mean_the_same(tmp_path: Path) -> None:
    raw = {
        "name": "a",
        "dataset": "digits",
        "model": "mlp",
        "methods": ["mine"],
        "sparsities": [0.5],
        "seeds": [0],
    }
    Path("by_option.yaml").write_text(yaml.safe_dump(raw))
    Path("by_field.yaml").write_text(yaml.safe_dump({**raw, "method_path": "mine.py"}))
    by_option = plan_of("--study", "by_option.yaml", "--method-path", "mine.py")
    registry._USER_METHODS.clear()
    assert list(plan_of("--study", "by_field.yaml").by_key) == list(by_option.by_key)
    registry._USER_METHODS.clear()
    spec = read_study(
        full_study.make_parser().parse_args(["--study", "by_field.yaml"]), default_preset="digits"
    )
    assert spec.method_path == [str(tmp_path / "mine.py")]
    again = yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json")))
    Path("again.yaml").write_text(yaml.safe_dump(again))
    registry._USER_METHODS.clear()
    assert list(plan_of("--study", "again.yaml").by_key) == list(by_option.by_key)


def test_all_methods_are_own_ones_too() -> None:
    plan = plan_of("--preset", "digits", "--methods", "all", "--method-path", ".", "--seeds", "0")
    assert "mine" in plan.by_method() and "synflow" in plan.by_method()
    assert plan.sources == registry.digest_user_files("mine", {})


@pytest.mark.parametrize("words", [["--method-path", "mine.py"], ["--study", "field.yaml"]])
def test_it_is_listed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("field.yaml").write_text("method_path: mine.py")
    assert full_study.main(["--list-methods", *words]) == 0
    assert "mine (unstructured)\n    keeps the largest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method-path", "other.py"], "method_path: no file or folder '"),
        (["--method-path", ""], "--method-path must name a folder, but got ''"),
        (["--list-methods", "--method-path", "other.py"], "method_path: no file or folder '"),
        (["--set", "method_path=3"], "method_path: it is a path or a list of paths, but got 3"),
        (["--set", "method_path=[3]"], "method_path: it is a path or a list of paths, but got [3]"),
        (["--methods", "mine"], "no method 'mine'"),
        (["--model", "resnet19"], "model: no model 'resnet19'; did you mean 'resnet18'?"),
        (["--model", "timm:x.y"], "a tag after a dot names trained weights"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full_study.main(["--preset", "digits", "--dry-run", *words]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and told.startswith("error: ")


def test_the_model_is_that_of_the_command_line() -> None:
    assert {
        trial.spec.model for trial in plan_of("--preset", "digits", "--model", "mlp").trials
    } == {"mlp"}
    options = synflow_search.make_parser().parse_args(["--model", "simple_cnn"])
    from sweeps.search.search_request import read_search

    assert read_search(options, default_preset="synflow_digits").model == "simple_cnn"


SEARCH: dict[str, Any] = {
    "name": "s",
    "dataset": "digits",
    "model": "mlp",
    "method": "mine",
    "sparsities": [0.9],
    "method_path": "mine.py",
    "recipe": {"epochs": 2},
    "space": {"power": {"choices": [1.0, 2.0]}},
    "strategy": "grid",
}


def test_a_search_names_its_method_file_in_what_it_confirms_and_refuses_another_content(
    tmp_path: Path,
) -> None:
    spec, store = build_search(dict(SEARCH), where="test"), Store.at(tmp_path / "out")
    write_search_description(spec, [], store)
    assert len(store.list("methods", ".py")) == 1
    check_same_search(spec, store)
    made = study_of_the_best(spec, {0.9: [Candidate(0.9, 0, "key", {"power": 2.0})]})
    assert made["method_path"] == ["mine.py"] and made["methods"] == [{"mine": {"power": 2.0}}]

    registry._USER_METHODS.clear()
    (tmp_path / "mine.py").write_text(METHOD + "# changed\n")
    changed = build_search(dict(SEARCH), where="test")
    with pytest.raises(
        UserError,
        match="holds a search with another content of method 'mine'; choose another --out",
    ):
        check_same_search(changed, store)
