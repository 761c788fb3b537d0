"""From a study to its trials, and from the study directory to what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from sweeps.planning import trial_status
from sweeps.planning.plan import Plan, make_plan
from sweeps.running.plan_searcher import PlanSearcher
from sweeps.study_file import study
from trainables.storage import parquet_tables
from trainables.storage.store import Store

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
    return make_plan(study.build(RAW, where="x"))


def test_every_method_sparsity_and_seed_is_there_once_and_dense_always(plan: Plan) -> None:
    counts = {method: len(trials) for method, trials in plan.by_method().items()}
    assert counts == {"dense": 2, "lottery_ticket": 4, "magnitude": 4, "random": 4}
    assert len(plan.by_key) == len(plan.trials)


def test_trials_share_the_dense_training_of_their_seed(plan: Plan) -> None:
    for trial in plan.trials:
        if trial.spec.method in ("dense", "random"):
            assert trial.parents == ()
        else:
            (parent,) = trial.parents
            assert plan.by_key[parent].spec.seed == trial.spec.seed
            assert trial.key in plan.children[parent]
    assert [trial.spec.rewind_epochs for trial in plan.trials if trial.spec.method == "dense"] == [
        (0, 2),
        (0, 2),
    ]


def test_epochs_are_counted_once_for_what_is_shared(plan: Plan) -> None:
    dense, magnitude, random = 2 * 10, 4 * 4, 4 * 10
    tickets = 2 * (30 + 24)
    assert plan.epochs() == dense + magnitude + random + tickets
    apart = 2 * (10 + 20 + 30 + 3 * 10) + 2 * (
        8 + 16 + 24 + 3 * 10
    )  # tickets of one, two and three rounds
    assert plan.alone == dense + 4 * (10 + 4) + random + apart
    assert plan.sharing == pytest.approx(plan.epochs() / plan.alone)


def test_the_three_methods_train_at_most_half_of_what_they_would_apart() -> None:
    """Counted by hand from the preset: 3 seeds, 5 sparsities, 200 epochs dense, 100 of retraining,
    rounds of 20 %."""
    raw = study.read_preset("resnet18_three_methods")
    plan = make_plan(study.build(raw, where="x"))
    seeds, sparsities, dense, retrain = 3, [0.3, 0.5, 0.7, 0.9, 0.95], 200, 100
    assert (len(raw["seeds"]), raw["sparsities"], raw["recipe"]["epochs"], raw["retrain"]["epochs"]) == (
        seeds, sparsities, dense, retrain
    )  # fmt: skip
    rounds, density = [], 1.0
    for sparsity in sparsities:
        needed = 0
        while density * 0.8**needed > 1 - sparsity + 1e-9:
            needed += 1
        rounds.append(needed)
        density = 1 - sparsity
    together = seeds * (dense + 2 * 5 * retrain + sum(rounds) * dense)
    tickets = sum((1 + sum(rounds[: index + 1])) * dense for index in range(5))
    apart = seeds * (dense + 2 * 5 * (dense + retrain) + tickets)
    assert (plan.epochs(), plan.alone) == (together, apart)
    assert together / apart <= 0.5


def test_dense_first_then_the_longest(plan: Plan) -> None:
    methods = [trial.spec.method for trial in plan.trials]
    assert methods[:2] == ["dense", "dense"]
    lengths = [trial.epochs for trial in plan.trials[2:]]
    assert lengths == sorted(lengths, reverse=True)


def test_the_retrain_recipe_is_part_of_those_trials_only_that_use_it(plan: Plan) -> None:
    other = make_plan(study.build({**RAW, "retrain": {"epochs": 5}}, where="x"))
    changed = {trial.spec.method for trial in other.trials if trial.key not in plan.by_key}
    assert changed == {"magnitude"}


def test_the_plan_is_told_to_the_analysis(plan: Plan) -> None:
    told = json.loads(plan.to_json())["trials"]
    assert [trial["key"] for trial in told] == list(plan.by_key)
    fields = "key dataset model method knobs recipe retrain seed sparsities parents"
    assert set(told[0]) == set(fields.split())


def finish(store: Store, plan: Plan, keys: list[str]) -> None:
    for key in keys:
        store.write(f"rows/{key}.parquet", parquet_tables.encode("rows", [{"key": key}]))
        for epoch in (0, 2, 10) if plan.by_key[key].spec.method == "dense" else ():
            store.write(f"artifacts/{key}/epoch-{epoch:06d}-0123456789abcdef.pt", b"weights")


def test_missing_is_plan_minus_rows(plan: Plan, tmp_path: Path) -> None:
    store, keys = Store.at(tmp_path), list(plan.by_key)
    assert trial_status.read(plan, store).missing == tuple(keys)
    finish(store, plan, keys[:5])
    state = trial_status.read(plan, store)
    assert state.done == set(keys[:5]) and state.missing == tuple(keys[5:])
    finish(store, plan, keys)
    assert trial_status.read(plan, store).missing == ()


def test_a_failed_parent_blocks_its_children_until_failures_are_forgotten(
    plan: Plan, tmp_path: Path
) -> None:
    store, dense = Store.at(tmp_path), plan.trials[0].key
    trial_status.record_failure(store, dense, "OutOfMemoryError: no")
    state = trial_status.read(plan, store)
    assert state.failed[dense].error == "OutOfMemoryError: no"
    assert set(state.blocked) == set(plan.children[dense]) and set(state.blocked.values()) == {
        dense
    }
    assert set(state.missing) == set(plan.by_key) - {dense} - set(plan.children[dense])
    assert trial_status.read(plan, store, retry_failed=True).missing == tuple(plan.by_key)
    trial_status.forget_failures(store, [dense])
    assert trial_status.read(plan, store).missing == tuple(plan.by_key)


def test_an_unreadable_record_of_a_failure_is_still_a_failure(plan: Plan, tmp_path: Path) -> None:
    store, key = Store.at(tmp_path), plan.trials[-1].key
    store.write(f"failures/{key}.json", b"{ not json")
    assert "cannot be read" in trial_status.read(plan, store).failed[key].error


def test_a_dense_trial_runs_again_when_weights_are_wanted_that_it_did_not_store(
    plan: Plan, tmp_path: Path
) -> None:
    store, dense = Store.at(tmp_path), plan.trials[0].key
    finish(store, plan, list(plan.by_key))
    store.delete(f"artifacts/{dense}/epoch-000002-0123456789abcdef.pt")
    assert trial_status.read(plan, store).missing == ()
    child = plan.children[dense][0]
    store.delete(f"rows/{child}.parquet")
    assert trial_status.read(plan, store).missing == (dense, child)


def test_erase_takes_the_study_and_leaves_what_else_lies_there(plan: Plan, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    finish(store, plan, list(plan.by_key))
    store.write("study.yaml", b"")
    store.write("notes.txt", b"mine")
    trial_status.erase(store)
    assert store.list("") == ["/notes.txt"] or [path.name for path in tmp_path.iterdir()] == [
        "notes.txt"
    ]


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

    first = draw()
    zero, one = plan.trials[0].key, plan.trials[1].key
    assert set(first) == {trial.key for trial in plan.trials if not trial.parents}
    searcher.on_trial_complete(handed[zero], {"status": "done"})
    assert draw() == plan.children[zero]
    searcher.on_trial_complete(handed[one], {"status": "failed"})
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


def test_further_settings_have_their_own_dense_trainings() -> None:
    plan = make_plan(
        study.build({**RAW, "also": [{"model": "simple_cnn", "methods": ["magnitude"]}]}, where="x")
    )
    dense = [trial.spec.model for trial in plan.trials if trial.spec.method == "dense"]
    assert sorted(dense) == ["mlp", "mlp", "simple_cnn", "simple_cnn"]
    assert len(plan.trials) == 14 + 2 + 4


def test_estimates_know_the_sizes_of_the_embedded_data() -> None:
    from sweeps.estimate.time_per_trial import SIZES
    from trainables.data.prepared import obtain

    data = obtain("digits")
    held_out, joined, image, classes = SIZES["digits"]
    assert (len(data.train_x), len(data.joined().train_x)) == (held_out, joined)
    assert (data.image, data.classes) == (image, classes)
