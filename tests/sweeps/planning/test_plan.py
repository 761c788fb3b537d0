"""From a study to its trials."""

import json
from pathlib import Path
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import build_study
from sweeps.study_file.study_reader import read_study_preset
from tests.sweeps.planning.shared_training import RAW


@pytest.fixture
def plan() -> Plan:
    return make_plan(build_study(RAW, where="x"))


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
    raw = read_study_preset("resnet18_three_methods")
    raw["methods"].remove("dense_longer")  # a fourth, which checks their budget
    plan = make_plan(build_study(raw, where="x"))
    seeds, sparsities, dense, retrain = 3, [0.3, 0.5, 0.7, 0.9, 0.95], 200, 100
    assert (len(raw["seeds"]), raw["sparsities"]) == (seeds, sparsities)
    assert (raw["recipe"]["epochs"], raw["retrain"]["epochs"]) == (dense, retrain)
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
    other = make_plan(build_study({**RAW, "retrain": {"epochs": 5}}, where="x"))
    changed = {trial.spec.method for trial in other.trials if trial.key not in plan.by_key}
    assert changed == {"magnitude"}


def test_the_plan_is_told_to_the_analysis(plan: Plan) -> None:
    told = json.loads(plan.to_json())["trials"]
    assert [trial["key"] for trial in told] == list(plan.by_key)
    fields = "key dataset model method knobs recipe retrain seed sparsities parents"
    assert set(told[0]) == set(fields.split())


def test_further_settings_have_their_own_dense_trainings() -> None:
    plan = make_plan(
        build_study({**RAW, "also": [{"model": "simple_cnn", "methods": ["magnitude"]}]}, where="x")
    )
    dense = [trial.spec.model for trial in plan.trials if trial.spec.method == "dense"]
    assert sorted(dense) == ["mlp", "mlp", "simple_cnn", "simple_cnn"]
    assert len(plan.trials) == 14 + 2 + 4


def longest_knobs(**changes: object) -> dict[tuple[str, str], set[str]]:
    """By network, the knobs of the trials of `dense_longer` in a study, and their epochs."""
    plan = make_plan(build_study({**RAW, **changes}, where="x"))
    knobs: dict[tuple[str, str], set[str]] = {}
    for trial in plan.by_method()["dense_longer"]:
        assert trial.parents == () and trial.spec.sparsities == (0.0,)
        assert trial.epochs == trial.alone == trial.spec.knobs["epochs"]
        assert trial.spec.retrain is None
        knobs.setdefault((trial.spec.model, str(trial.spec.knobs)), set()).add(trial.key)
    return knobs


def test_dense_longer_trains_as_long_as_the_longest_method_with_its_dense_training() -> None:
    three = [*RAW["methods"], "dense_longer"]
    assert {name: len(keys) for name, keys in longest_knobs(methods=three).items()} == {
        ("mlp", "{'epochs': 40}"): 2  # three levels after the dense training, for both seeds
    }
    short = ["dense_longer", "magnitude", "random"]
    assert list(longest_knobs(methods=short)) == [("mlp", "{'epochs': 14}")]
    post = ["dense_longer", "magnitude_post"]
    assert list(longest_knobs(methods=post)) == [("mlp", "{'epochs': 10}")]
    alone = ["dense_longer"]
    assert list(longest_knobs(methods=alone)) == [("mlp", "{'epochs': 10}")]


def test_controls_do_not_make_dense_longer_longer() -> None:
    with_control = ["dense_longer", "magnitude", "shuffled"]  # which takes 10 + 10 epochs
    assert list(longest_knobs(methods=with_control)) == [("mlp", "{'epochs': 14}")]


def test_a_study_may_say_itself_how_long_dense_longer_trains() -> None:
    given = ["magnitude", {"dense_longer": {"epochs": [14, 25]}}]
    assert list(longest_knobs(methods=given)) == [
        ("mlp", "{'epochs': 25}"),
        ("mlp", "{'epochs': 14}"),
    ]
    filled = longest_knobs(methods=["magnitude", "dense_longer"])
    assert filled["mlp", "{'epochs': 14}"] == longest_knobs(methods=given)["mlp", "{'epochs': 14}"]
    with pytest.raises(UserError, match="'dense_longer': epochs must be at least the 10 of the re"):
        longest_knobs(methods=[{"dense_longer": {"epochs": 9}}])


def test_each_setting_has_its_own_longest_method_and_a_change_of_it_a_new_key() -> None:
    methods = ["magnitude", "dense_longer"]
    also = [{"model": "simple_cnn", "recipe": {"epochs": 6}, "methods": methods}]
    before = longest_knobs(methods=methods, also=also)
    assert set(before) == {("mlp", "{'epochs': 14}"), ("simple_cnn", "{'epochs': 10}")}
    after = longest_knobs(methods=methods, also=also, retrain={"epochs": 9})
    assert set(after) == {("mlp", "{'epochs': 19}"), ("simple_cnn", "{'epochs': 15}")}
    assert not set().union(*before.values()) & set().union(*after.values())


def test_choices_of_layers_make_other_trials_but_no_other_dense_training() -> None:
    raw = {
        "name": "chosen",
        "dataset": "digits",
        "model": "mlp",
        "methods": ["dense", "magnitude"],
        "sparsities": [0.5],
        "seeds": [0],
    }
    plain, chosen = (
        {trial.spec.method: trial for trial in make_plan(build_study(given, where="x")).trials}
        for given in (raw, {**raw, "exclude": ["last"], "layer_sparsity": {"first": 0.1}})
    )
    assert plain["dense"].key == chosen["dense"].key
    assert chosen["magnitude"].parents == (chosen["dense"].key,)
    assert plain["magnitude"].key != chosen["magnitude"].key
    assert chosen["magnitude"].spec.exclude == ("last",)
    assert chosen["magnitude"].spec.layer_sparsity == {"first": 0.1}


def test_a_changed_file_of_an_own_augmentation_makes_new_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    raw: dict[str, Any] = {"name": "own", "dataset": "digits", "model": "mlp", "seeds": [0]}
    raw |= {"methods": ["magnitude"], "sparsities": [0.5]}

    def keys(text: str, **recipes: Any) -> set[str]:
        (tmp_path / "my_augment.py").write_text(f"def turn(x):\n    return {text}\n")
        return {trial.key for trial in make_plan(build_study({**raw, **recipes}, where="x")).trials}

    own = {"augment": "my_augment:turn"}
    before = keys("x", recipe=own)
    assert keys("x", recipe=own) == before and not keys("x.flip(-1)", recipe=own) & before
    # Only the retraining uses it: the dense network stays.
    plain = {"recipe": {"augment": "none"}, "retrain": own}
    assert len(keys("x", **plain) & keys("x.flip(-1)", **plain)) == 1
    with pytest.raises(UserError, match="no function 'spin' in 'my_augment'"):
        keys("x", recipe={"augment": "my_augment:spin"})


def test_the_number_of_ranks_makes_other_trials_only_where_batch_norm_is_taken_by_rank() -> None:
    def keys(ranks: int, **recipes: dict[str, bool]) -> set[str]:
        raw = {"name": "s", "dataset": "digits", "model": "resnet8", "methods": ["magnitude"]}
        raw |= {"sparsities": [0.5], "seeds": [0], **recipes}
        raw |= {"resources": {"cpus_per_trial": 4, "ranks_per_trial": ranks}}
        return {trial.key for trial in make_plan(build_study(raw, where="test")).trials}

    assert keys(1) == keys(2) == keys(4)
    apart = {"sync_batch_norm": False}
    assert not keys(2, recipe=apart) & keys(4, recipe=apart)
    # The dense training knows nothing of the recipe of retraining.
    dense = {key for key in keys(1) if "/dense/" in key}
    assert keys(2, retrain=apart) & keys(4, retrain=apart) == dense
