"""The presets of published results plan what their papers did, and every number they cite of a
network they train is compared with something that is planned.

Presets: lth_lenet, snip_lenet, han_lenet, synflow_collapse and imagenet_resnet50.
"""

from collections import Counter

import pytest

from pruning.phases import Measure
from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_reader import read_study_preset
from trainables.trial_spec import epochs_of

REPLICATIONS = ("lth_lenet", "snip_lenet", "han_lenet", "synflow_collapse")


def read(name: str) -> StudySpec:
    return build_study(read_study_preset(name), where=name)


def count(plan: Plan) -> dict[str, int]:
    return dict(Counter(trial.spec.method for trial in plan.trials))


@pytest.mark.parametrize("name", REPLICATIONS)
def test_numbers_of_networks_that_are_trained_are_compared_with_planned_trials(name: str) -> None:
    spec = read(name)
    planned = {
        (of.dataset, of.model, of.method, tuple(sorted(of.knobs.items())), sparsity)
        for of in (trial.spec for trial in make_plan(spec).trials)
        for sparsity in of.sparsities or (None,)
    }
    trained = {(setting.dataset, setting.model) for setting in spec.settings}
    cited = [
        (of.dataset, of.model, of.method, tuple(sorted(of.knobs.items())), of.sparsity)
        for of in spec.published
        if (of.dataset, of.model) in trained
    ]
    assert set(cited) <= planned
    assert len(cited) == {"snip_lenet": 6, "han_lenet": 4}.get(name, 0)
    assert all(of.source for of in spec.published)


def test_lottery_tickets_have_the_papers_budget_and_three_branches() -> None:
    plan = make_plan(read("lth_lenet"))
    assert count(plan) == dict.fromkeys(("dense", "lottery_ticket", "random_ticket"), 5)
    for trial in plan.trials:
        recipe, iterations_per_epoch = trial.spec.recipe, 54_000 // 60
        assert (
            (recipe.epochs - 1) * iterations_per_epoch
            < 50_000
            <= recipe.epochs * iterations_per_epoch
        )
        assert recipe.evaluate_every == 100
        if trial.spec.method == "dense":
            continue
        phases = trial.spec.phases((1, 28, 28), 10)
        levels = [phase.sparsity for phase in phases if isinstance(phase, Measure)]
        times = 2 if trial.spec.method == "lottery_ticket" else 1  # on drawn weights, too
        expected = [1 - 0.8**level for level in range(1, 13) for _ in range(times)]
        assert levels == pytest.approx(expected)
        assert epochs_of(phases) == len(levels) * recipe.epochs


def test_methods_at_initialisation_are_those_of_the_figure() -> None:
    spec = read("synflow_collapse")
    assert count(make_plan(spec)) == {"dense": 3} | dict.fromkeys(
        ("random", "magnitude_init", "snip", "grasp", "synflow"), 3 * len(spec.sparsities)
    )
    compressions = [1 / (1 - sparsity) for sparsity in spec.sparsities]
    assert compressions[0] == pytest.approx(10) and compressions[-1] == pytest.approx(10_000)
    assert {of.n for of in spec.published} == {3}
    assert {of.spread_is for of in spec.published} == {"standard deviation"}


def test_the_imagenet_preset_cites_what_it_says() -> None:
    spec = read("imagenet_resnet50")
    (gradual,) = spec.also
    assert spec.recipe.epochs == 0 and gradual.recipe.epochs == 30
    assert [entry.name for entry in gradual.methods] == ["gmp"]
    of_gmp = {of.sparsity: of.value for of in spec.published if of.method == "gmp"}
    assert of_gmp == {0.5: 76.53, 0.7: 76.38, 0.8: 75.58, 0.9: 73.91, 0.95: 70.59}
    assert set(of_gmp) == set(spec.sparsities)
