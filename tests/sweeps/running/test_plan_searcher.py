"""Which trial of a plan comes next: children wait for their own parent, and only for that."""

from typing import Any

import pytest
from ray.tune.search import Searcher

from sweeps.planning.plan import Plan, make_plan
from sweeps.running.plan_searcher import PlanSearcher
from sweeps.running.stop_request import StopRequest
from sweeps.study_file.study import build_study

RAW: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 10},
    "retrain": {"epochs": 4},
    "methods": ["random", "magnitude", {"lottery_ticket": {"levels": 3, "rewind_to": [0, 2]}}],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}


@pytest.fixture
def plan() -> Plan:
    return make_plan(build_study(RAW, where="x"))


def test_children_are_handed_out_when_their_own_parent_is_done(plan: Plan) -> None:
    searcher = PlanSearcher(plan, tuple(plan.by_key), {})
    handed: dict[str, str] = {}

    def draw() -> list[str]:
        drawn = []
        while isinstance(config := searcher.suggest(str(len(handed))), dict):
            handed[config["key"]] = str(len(handed))
            drawn.append(config["key"])
        assert config is None or config == Searcher.FINISHED
        return drawn

    ready = draw()
    first, second = plan.trials[0].key, plan.trials[1].key
    assert set(ready) == {trial.key for trial in plan.trials if not trial.parents}
    searcher.on_trial_complete(handed[first], {"status": "done"})
    assert draw() == plan.children[first]
    searcher.on_trial_complete(handed[second], {"status": "failed"})
    assert searcher.suggest("x") == Searcher.FINISHED


def test_children_of_a_trial_that_ray_gave_up_are_dropped(plan: Plan) -> None:
    searcher = PlanSearcher(plan, (plan.trials[0].key, *plan.children[plan.trials[0].key]), {})
    searcher.suggest("a")
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", error=True)
    assert searcher.suggest("b") == Searcher.FINISHED


def test_a_plan_in_the_wrong_order_is_refused(plan: Plan) -> None:
    dense = plan.trials[0].key
    with pytest.raises(ValueError, match="which comes after it"):
        PlanSearcher(plan, (plan.children[dense][0], dense), {})


def test_nothing_is_handed_out_once_the_study_is_to_stop(plan: Plan) -> None:
    searcher = PlanSearcher(plan, tuple(plan.by_key), {})
    assert isinstance(searcher.suggest("0"), dict)
    StopRequest.make("interrupted")
    try:
        assert searcher.suggest("1") == Searcher.FINISHED
    finally:
        StopRequest.take()
    assert isinstance(searcher.suggest("2"), dict)
