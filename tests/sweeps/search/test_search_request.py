"""The search command before it runs: presets, options, mistakes in one line, and what it refuses to
mix.

Covers: sweeps/search/search_request.py, sweeps/search/search_command.py,
sweeps/search/search_check.py, sweeps/search/search_directory.py, sweeps/search/search_presets.py,
sweeps/search/search_spec.py, sweeps/search/search_summary.py, sweeps/search/strategy.py,
sweeps/search/objective.py, sweeps/search/budget.py.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import synflow_search
from sweeps.search.search_check import check_network, check_search
from sweeps.search.search_directory import check_same_search, erase_search, write_search_description
from sweeps.search.search_presets import find_search_presets, read_search_preset
from sweeps.search.search_spec import build_search
from tests import tuneless
from tests.tuneless import RAW, make_spec, open_search
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", find_search_presets())
def test_every_preset_is_a_search_that_can_begin(name: str) -> None:
    spec = build_search(read_search_preset(name), where=name)
    check_search(spec)
    assert spec.most_epochs > 0 and spec.description


@pytest.mark.parametrize(
    ("changes", "text"),
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
            "iterations: must be a whole number, but got 1.5",
        ),
        (
            {"space": {"iterations": {"range": [0, 5]}}},
            "iterations: must be at least 1",
        ),
        ({"space": {}}, "space: must have at least 1 entry"),
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
        ({"recipe": {"lr": -1}}, "recipe.lr: must be above 0"),
        ({"bugdet": {}}, "unknown key 'bugdet'; did you mean 'budget'?"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        make_spec(**changes)
    assert text in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
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
    changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(UserError, match=text):
        check_search(make_spec(**changes))


@pytest.mark.parametrize(
    ("words", "text"),
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
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synflow_search.main([*words, "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith(text)


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
    text = capsys.readouterr().out
    assert (
        "recipe.lr 0.01 to 0.3 (log), recipe.epochs in [4, 8]" in text and "strategy: tpe\n" in text
    )
    assert (
        "sparsities: 0.8; budget: 9 trials" in text and "epochs of the longest candidate: 8" in text
    )
    assert not (tmp_path / "s").exists()


def test_a_dry_run_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from sweeps import synflow_search; code = synflow_search.main(['--dry-run'])\n"
    )
    code += "assert code == 0 and not {'torch', 'ray', 'optuna'} & set(sys.modules), code"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_choices_of_layers_are_tried_before_anything_runs() -> None:
    check_network(make_spec(exclude=["first"], layer_sparsity={"last": 0.5}))
    with pytest.raises(UserError, match="exclude: no prunable layer matches 'conv'"):
        check_network(make_spec(exclude=["conv"]))
    with pytest.raises(UserError, match="test: layer_sparsity.last: sparsity must be in"):
        make_spec(layer_sparsity={"last": 1})


def test_two_searches_are_not_mixed_but_one_may_grow(tmp_path: Path) -> None:
    store, spec = Store.at(tmp_path), make_spec()
    write_search_description(spec, open_search(spec, tmp_path).candidates.all, store)
    grown = make_spec(
        budget={"trials": 99, "hours": 2}, sparsities=[0.9, 0.95, 0.98], confirm_seeds=[5]
    )
    check_same_search(spec, store)
    check_same_search(grown, store)
    with pytest.raises(
        UserError, match="holds a search with recipe = .* choose another --out, or --fresh"
    ):
        check_same_search(make_spec(recipe={"epochs": 9}), store)
    with pytest.raises(UserError, match="holds a search with seed = 0, but now it is 3"):
        check_same_search(make_spec(seed=3), store)
    with pytest.raises(UserError, match=r"a search with exclude = \[\], but now it is \['first'\]"):
        check_same_search(make_spec(exclude="first"), store)
    older = yaml.safe_load(store.read("search.yaml"))
    del older["exclude"], older["layer_sparsity"]  # as an older version wrote it
    store.write("search.yaml", yaml.safe_dump(older).encode())
    check_same_search(spec, store)
    with pytest.raises(UserError, match="with layer_sparsity = {}, but now"):
        check_same_search(make_spec(layer_sparsity={"last": 0.5}), store)
    store.delete("search.yaml")
    with pytest.raises(UserError, match="holds a study, not a search"):
        check_same_search(spec, store)


def test_the_directory_of_a_search_is_a_study_for_the_analysis(tmp_path: Path) -> None:
    from analysis.reading.load import load_study

    search = tuneless.run(make_spec(budget={"trials": 2}), tmp_path)
    write_search_description(search.spec, search.candidates.all, search.store)
    study = load_study(tmp_path)
    assert (
        set(study.plan["key"])
        == set(study.rows["key"])
        == {candidate.key for candidate in search.candidates.all}
    )
    assert (
        yaml.safe_load((tmp_path / "search.yaml").read_text())["space"].keys()
        == RAW["space"].keys()
    )
    erase_search(search.store)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
