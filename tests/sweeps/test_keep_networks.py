"""A study that keeps its networks: what is missing then, where the wish goes, and what it costs on
the disk.

Covers: sweeps/cli/study_launch.py.
"""

from pathlib import Path
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.cli.study_launch import make_environment
from sweeps.estimate.plan_cost import disk_bytes
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.trial_status import erase_study, read_trial_status
from sweeps.study_file.study import StudySpec, build_study
from trainables import saved_networks
from trainables.storage.store import Store
from trainables.trial import Trial

RAW: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 1, "batch": 400, "augment": "none"},
    "retrain": {"epochs": 1},
    "methods": ["snip", "han_iterative"],
    "sparsities": [0.5, 0.9],
    "seeds": [0],
}


def make(**changes: Any) -> tuple[StudySpec, Plan]:
    spec = build_study({**RAW, **changes}, where="x")
    return spec, make_plan(spec)


def test_the_default_is_none_and_other_values_are_refused() -> None:
    spec, plan = make()
    assert spec.keep_networks == "none" and not plan.keep_networks
    with pytest.raises(
        UserError, match="x: keep_networks: must be 'none' or 'all', but got 'some'"
    ):
        make(keep_networks="some")


def test_the_wish_reaches_the_trials(tmp_path: Path) -> None:
    spec, plan = make(keep_networks="all")
    assert plan.keep_networks
    assert make_environment(spec, Store.at(tmp_path)).keep_networks == "all"
    assert make_environment(make()[0], Store.at(tmp_path)).keep_networks == "none"


def test_done_trials_run_again_once_if_the_wish_comes_later(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    before, plan = make(methods=["snip"], sparsities=[0.5])
    for trial in plan.trials:
        Trial(trial.spec, make_environment(before, store)).run()
    assert read_trial_status(plan, store).missing == ()
    after, wishing = make(methods=["snip"], sparsities=[0.5], keep_networks="all")
    state = read_trial_status(wishing, store)
    assert state.missing == tuple(plan.by_key) and not state.done
    first = wishing.trials[0]
    Trial(first.spec, make_environment(after, store)).run()
    assert read_trial_status(wishing, store).missing == tuple(
        key for key in plan.by_key if key != first.key
    )
    assert read_trial_status(plan, store).missing == (), "without the wish all is done as before"
    erase_study(store)
    assert not (tmp_path / "networks").exists()


def test_a_trial_with_some_of_its_networks_is_not_done(tmp_path: Path) -> None:
    recipe = {"epochs": 0, "batch": 400, "augment": "none", "precision": "fp32"}
    spec, plan = make(
        recipe=recipe,
        keep_networks="all",
        methods=[{"lottery_ticket": {"levels": 3}}],
        sparsities=[0.5],
    )
    store = Store.at(tmp_path)
    for trial in plan.trials:
        Trial(trial.spec, make_environment(spec, store)).run()
    ticket = plan.trials[-1].key
    assert (
        saved_networks.list_saved_levels(store, ticket) == {1, 2, 3}
        and read_trial_status(plan, store).missing == ()
    )
    saved_networks.delete_saved_level(store, ticket, 2)
    assert read_trial_status(plan, store).missing == (ticket,)
    Trial(plan.trials[-1].spec, make_environment(spec, store)).run()
    assert (
        saved_networks.list_saved_levels(store, ticket) == {1, 2, 3}
        and read_trial_status(plan, store).missing == ()
    )


def test_the_disk_it_takes_is_told(tmp_path: Path) -> None:
    recipe = {"epochs": 0, "batch": 400, "augment": "none", "precision": "fp32"}
    spec, plan = make(recipe=recipe, keep_networks="all", methods=["snip", "random"])
    for trial in plan.trials:
        Trial(trial.spec, make_environment(spec, Store.at(tmp_path))).run()
    taken = sum(path.stat().st_size for path in (tmp_path / "networks").rglob("*.pt"))
    without = make(recipe=recipe, methods=["snip", "random"])[1]
    told = disk_bytes(plan, None) - disk_bytes(without, None)
    assert told == pytest.approx(taken, rel=0.15)
    assert all(saved_networks.list_saved_levels(Store.at(tmp_path), key) for key in plan.by_key)
