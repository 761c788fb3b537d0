"""The search command before it runs: presets, options, mistakes in one line, and what it refuses to
mix."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import synflow_search
from sweeps.planning.plan import make_plan
from sweeps.search import best_candidates
from sweeps.search import search_command as search_command
from sweeps.search import search_directory as search_directory
from sweeps.search import search_spec as search_spec
from sweeps.search.candidate_records import Candidate
from sweeps.study_file import study
from tests import tuneless
from tests.tuneless import RAW, make_spec, open_search
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", search_spec.presets())
def test_every_preset_is_a_search_that_can_begin(name: str) -> None:
    spec = search_spec.build(search_spec.read_preset(name), where=name)
    search_command.check(spec)
    assert spec.longest > 0 and spec.description


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"space": {"iteration": {"range": [1, 2]}}},
            "method 'synflow' has no 'iteration'; did you mean 'iterations'?",
        ),
        (
            {"space": {"recipe.epoch": {"range": [1, 2]}}},
            "a recipe has no 'epoch'; did you mean 'epochs'?",
        ),
        (
            {"space": {"train.lr": {"range": [1, 2]}}},
            "'train.lr' is no knob, recipe.FIELD or retrain.FIELD",
        ),
        (
            {"space": {"iterations": {"range": [1.5, 2.5]}}},
            "iterations: input should be a valid integer, but got 1.5",
        ),
        (
            {"space": {"iterations": {"range": [0, 5]}}},
            "iterations: input should be greater than or equal to 1",
        ),
        ({"space": {}}, "space: dictionary should have at least 1 item"),
        ({"method": "synflo"}, "synflow"),
        ({"strategy": "ahsa"}, "no strategy 'ahsa'; did you mean 'asha'?"),
        (
            {"strategy": {"draw": "tpe", "order": "flow"}},
            "order: flow needs draw: grid or random, but got tpe",
        ),
        ({"strategy": {"pool": 9}}, "pool belongs to draw: random with an order"),
        ({"strategy": {"draw": "population", "stop": "asha"}}, "stop must be none, but got asha"),
        ({"strategy": "population"}, "a population changes recipe fields as it trains"),
        ({"recipe": {"epochs": 2, "hold_out": False}}, "recipe.hold_out must be true"),
        ({"retrain": {"record_best_test": True}}, "retrain.record_best_test must be false"),
        (
            {"space": {"recipe.hold_out": {"choices": [True, False]}}},
            "recipe.hold_out cannot be searched",
        ),
        ({"budget": {}}, "a search without a grid needs trials, hours or money"),
        ({"budget": {"money": 3}}, "money needs a price per device hour"),
        (
            {"objective": "pareto", "strategy": "asha"},
            "pareto keeps cheap candidates of low accuracy",
        ),
        ({"confirm_seeds": [0, 1]}, "confirm_seeds must not hold seed 0"),
        ({"sparsities": [1.2]}, "sparsity must be in [0, 1), but got 1.2"),
        ({"recipe": [1]}, "recipe: a recipe is a mapping of keys to values"),
        ({"recipe": {"lr": -1}}, "recipe.lr: input should be greater than 0"),
        ({"bugdet": {}}, "unknown key 'bugdet'; did you mean 'budget'?"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        make_spec(**changes)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                "method": "gmp",
                "space": {"recipe.lr": {"range": [0.1, 0.2]}},
                "strategy": {"order": "flow"},
            },
            "trains first",
        ),
        (
            {
                "method": "lottery_ticket",
                "space": {"recipe.lr": {"range": [0.1, 0.2]}},
                "strategy": "population",
            },
            "a population changes recipe within one training",
        ),
    ],
)
def test_what_a_method_cannot_do_is_said_before_anything_runs(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        search_command.check(make_spec(**changes))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--preset", "synflow_digit"],
            "error: no search preset 'synflow_digit'; did you mean 'synflow_digits'?",
        ),
        (
            ["--lr", "0.1"],
            "error: --lr takes the two ends of a range, e.g. 0.01,0.3, but got '0.1'",
        ),
        (["--trials", "many"], "error: --trials takes numbers separated by commas, but got 'many'"),
        (["--seed", "1,2"], "error: --seed takes one number, but got '1,2'"),
        (
            ["--strategy", "ahsa"],
            "error: --strategy: there are grid, random, tpe, asha, median, population",
        ),
        (["--search", "missing.yaml"], "error: cannot read the study file missing.yaml"),
        (
            ["--sparsities", "7"],
            "error: preset synflow_digits: sparsities.0: sparsity must be in [0, 1), but got 7",
        ),
    ],
)
def test_mistakes_in_options_are_one_line_and_exit_with_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synflow_search.main([*words, "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith(told)


def test_options_change_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--lr",
        "0.01,0.3",
        "--epochs",
        "4,8",
        "--sparsities",
        "0.8",
        "--strategy",
        "tpe",
        "--trials",
        "9",
    ]
    words += [
        "--set",
        "space.recipe.lr.points=3",
        "--set",
        "recipe.batch=32",
        "--out",
        str(tmp_path / "s"),
        "--dry-run",
    ]
    assert synflow_search.main(words) == 0
    told = capsys.readouterr().out
    assert (
        "recipe.lr 0.01 to 0.3 (log), recipe.epochs in [4, 8]" in told and "strategy: tpe\n" in told
    )
    assert (
        "sparsities: 0.8; budget: 9 trials" in told and "epochs of the longest candidate: 8" in told
    )
    assert not (tmp_path / "s").exists()


def test_a_dry_run_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from sweeps import synflow_search; code = synflow_search.main(['--dry-run'])\n"
    )
    code += "assert code == 0 and not {'torch', 'ray', 'optuna'} & set(sys.modules), code"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_two_searches_are_not_mixed_but_one_may_grow(tmp_path: Path) -> None:
    store, spec = Store.at(tmp_path), make_spec()
    search_directory.describe(spec, open_search(spec, tmp_path), store)
    grown = make_spec(
        budget={"trials": 99, "hours": 2}, sparsities=[0.9, 0.95, 0.98], confirm_seeds=[5]
    )
    search_directory.check_same(spec, store)
    search_directory.check_same(grown, store)
    with pytest.raises(
        UserError, match="holds a search with recipe = .* choose another --out, or --fresh"
    ):
        search_directory.check_same(make_spec(recipe={"epochs": 9}), store)
    with pytest.raises(UserError, match="holds a search with seed = 0, but now it is 3"):
        search_directory.check_same(make_spec(seed=3), store)
    store.delete("search.yaml")
    with pytest.raises(UserError, match="holds a study, not a search"):
        search_directory.check_same(spec, store)


def test_the_directory_of_a_search_is_a_study_for_the_analysis(tmp_path: Path) -> None:
    from analysis.reading.load import load

    search = tuneless.run(make_spec(budget={"trials": 2}), tmp_path)
    search_directory.describe(search.spec, search, search.store)
    study = load(tmp_path)
    assert set(study.plan["key"]) == set(study.rows["key"]) == {one.key for one in search.all}
    assert (
        yaml.safe_load((tmp_path / "search.yaml").read_text())["space"].keys()
        == RAW["space"].keys()
    )
    search_directory.erase(search.store)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_confirming_again_keeps_what_is_there_unless_the_best_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(options: Any, *, default_preset: str) -> int:
        assert options.retry_failed
        ran.append(
            sorted(study.build(study.read(options.study), where="best").model_dump()["sparsities"])
        )
        return 0

    monkeypatch.setattr(search_command.command, "run", run)
    store = Store.at(tmp_path)
    below = store.below("best")

    def confirm(points: dict[float, int]) -> bool:
        chosen = {
            s: [Candidate(s, 0, "k", {"iterations": n}, "done", val_top1=90.0)]
            for s, n in points.items()
        }
        made = best_candidates.write_study(make_spec(), chosen)
        kept = f"rows/{len(ran)}.parquet"
        below.write(kept, b"measured")
        search_command.confirm(
            synflow_search.parser().parse_args(["--retry-failed"]),
            yaml.safe_dump(made).encode(),
            store,
        )
        below.write("plan.json", make_plan(study.build(made, where="best")).to_json())
        return below.exists(kept)

    assert confirm({0.9: 5}) and confirm({0.9: 5}) and confirm({0.9: 5, 0.95: 7})
    assert "has changed" not in capsys.readouterr().out
    assert (
        not confirm({0.9: 6, 0.95: 7})
        and "the best has changed since it was confirmed" in capsys.readouterr().out
    )
    assert ran == [
        [0.9],
        [0.9],
        [0.9],
        [0.9],
    ]  # the first setting; the other sparsity is a further one
