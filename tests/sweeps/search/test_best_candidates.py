"""What is best, and the study file that trains it again."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from sweeps.planning.plan import make_plan
from sweeps.search.best_candidates import choose_best, rank_candidates, study_of_the_best
from sweeps.search.candidate_records import Candidate
from sweeps.search.proposals import Proposals
from sweeps.study_file.study import build_study
from tests.tuneless import make_spec


def make(number: int, accuracy: float, macs: float, **more: Any) -> Candidate:
    return Candidate(
        0.9, number, f"k{number}", {}, "done", val_top1=accuracy, effective_macs=macs, **more
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_the_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    spec = make_spec(objective="pareto")
    candidates = [
        make(number, float(accuracy), float(macs)) for number, (accuracy, macs) in enumerate(points)
    ]
    front = choose_best(spec, {0.9: candidates})[0.9]
    beaten = {
        point
        for point in points
        for a, m in points
        if a >= point[0] and m <= point[1] and (a, m) != point
    }
    assert {(candidate.val_top1, candidate.effective_macs) for candidate in front} == {
        p for p in points if p not in beaten
    }


def test_the_best_is_accurate_then_cheap_then_early_and_within_the_limit() -> None:
    candidates = [
        make(0, 90, 50),
        make(1, 91, 80),
        make(2, 91, 70),
        make(3, 91, 70),
        make(4, 99, 200),
    ]
    candidates.append(Candidate(0.9, 5, "k5", {}, "stopped", values=[99.9]))
    limited = make_spec(objective={"max_effective_macs": 100})
    assert [candidate.number for candidate in rank_candidates(limited, candidates)] == [2, 3, 1, 0]
    assert choose_best(make_spec(), {0.9: candidates, 0.95: []})[0.9][0].number == 4
    assert 0.95 not in choose_best(make_spec(), {0.9: candidates, 0.95: []})


def test_the_study_of_the_best_has_the_trials_of_the_candidates_with_other_seeds(
    tmp_path: Path,
) -> None:
    spec = make_spec(
        sparsities=[0.8, 0.9, 0.95],
        space={
            "iterations": {"choices": [5, 100]},
            "recipe.lr": {"choices": [0.05, 0.1], "when": {"iterations": 5}},
            "recipe.epochs": {"choices": [2, 3]},
        },
    )
    points: dict[float, dict[str, Any]] = {
        0.8: {"iterations": 5, "recipe.lr": 0.1, "recipe.epochs": 2},
        0.9: {"iterations": 100, "recipe.epochs": 3},
        0.95: {"iterations": 5, "recipe.lr": 0.1, "recipe.epochs": 2},
    }
    chosen = {
        s: [Candidate(s, 0, "k", point, "done", val_top1=90.0)] for s, point in points.items()
    }
    made = build_study(
        yaml.safe_load(yaml.safe_dump(study_of_the_best(spec, chosen))), where="best.yaml"
    )
    keys = {trial.key for trial in make_plan(made).trials if trial.spec.method == "synflow"}
    expected = set()
    for sparsity, point in points.items():
        wanted = Proposals(spec, sparsity).resolve(point).trial.spec
        expected |= {
            wanted.model_copy(update={"seed": seed, "test": True}).key
            for seed in spec.confirm_seeds
        }
    assert keys == expected and len(keys) == 6
    assert made.also and made.sparsities == [0.8, 0.95]  # equal ones are one setting


def test_the_choices_of_layers_are_those_of_the_candidates() -> None:
    choices = {"exclude": ["first"], "layer_sparsity": {"last": 0.5}}
    spec = make_spec(**choices, space={"iterations": {"choices": [5, 100]}})
    points = {0.9: {"iterations": 5}, 0.95: {"iterations": 100}}
    chosen = {s: [Candidate(s, 0, "k", point, "done")] for s, point in points.items()}
    made = build_study(study_of_the_best(spec, chosen), where="best.yaml")
    assert [s.exclude for s in made.settings] == [["first"]] * 2
    trials = [trial.spec for trial in make_plan(made).trials if trial.spec.method == "synflow"]
    wanted = [Proposals(spec, s).resolve(point).trial.spec for s, point in points.items()]
    assert {t.key for t in trials} == {
        w.model_copy(update={"seed": seed, "test": True}).key
        for w in wanted
        for seed in spec.confirm_seeds
    }
    assert all((t.exclude, t.layer_sparsity) == (("first",), {"last": 0.5}) for t in trials)
    plain = make_spec(space={"iterations": {"choices": [5, 100]}})
    assert wanted[0].key != Proposals(plain, 0.9).resolve(points[0.9]).trial.spec.key
    assert "exclude" not in study_of_the_best(plain, chosen)


def test_the_study_of_the_best_keeps_a_retraining_recipe_that_is_used() -> None:
    spec = make_spec(
        method="magnitude", space={"retrain.lr": {"range": [0.001, 0.1]}}, retrain={"epochs": 2}
    )
    chosen = {
        s: [Candidate(s, 0, "k", {"retrain.lr": lr}, "done")]
        for s, lr in ((0.9, 0.02), (0.95, 0.03))
    }
    made = build_study(study_of_the_best(spec, chosen), where="best.yaml")
    assert made.retrain.lr == 0.02 and made.retrain.epochs == 2 and made.also[0].retrain.lr == 0.03
    assert made.also[0].retrain.epochs == 2 and made.also[0].recipe == made.recipe
