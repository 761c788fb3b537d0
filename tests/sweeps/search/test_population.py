"""Populations, whose members are what their keys say.

Covers: sweeps/search/population.py, sweeps/search/generations.py.
"""

from pathlib import Path

from sweeps.search.candidate_records import Candidate
from sweeps.search.generations import Generations, copy_state
from sweeps.search.proposals import Proposals
from sweeps.search.search_check import check_search
from tests.tuneless import make_spec, open_search
from trainables.environment import Environment
from trainables.training.recipe import Recipe
from trainables.trial import Trial


def test_a_clone_is_bit_for_bit_a_training_from_scratch_with_the_recipe_it_is_named_by(
    tmp_path: Path,
) -> None:
    spec = make_spec(
        model="resnet8",
        recipe={"epochs": 3, "batch": 256, "augment": "crop", "lr": 0.05},
        knobs={"iterations": 3},
        space={
            "recipe.lr": {"log_range": [0.01, 0.2]},
            "recipe.weight_decay": {"choices": [0.0, 0.001]},
        },
        strategy={"draw": "population", "interval": 1},
        sparsities=[0.9],
        budget={"trials": 4},
    )
    check_search(spec)
    search = open_search(spec, tmp_path / "cloned")
    source = Proposals(spec, 0.9)
    donor = source.resolve({"recipe.lr": 0.05, "recipe.weight_decay": 0.0})
    changes = [{"epoch": 2, "lr": 0.1, "weight_decay": 0.001, "momentum": 0.5}]
    clone = source.resolve(donor.configuration, changes)
    assert clone.trial.key != donor.trial.key
    there = Environment(store=str(tmp_path / "cloned"), checkpoint_seconds=0)
    first = Trial(donor.trial.spec, there)
    while first.records.epochs < 2:
        first.advance()
    copy_state(search, donor.trial.key, clone.trial.key)
    cloned = Trial(clone.trial.spec, there)
    assert cloned.records.epochs == 2
    cloned.run()
    scratch = Trial(clone.trial.spec, Environment(store=str(tmp_path / "scratch")))
    scratch.run()
    first.run()
    (row,), (whole,), (other,) = cloned.records.rows, scratch.records.rows, first.records.rows
    assert (
        row["digest"] == whole["digest"] != other["digest"]
        and row["key"] == whole["key"] == clone.trial.key
    )
    assert (
        cloned.records.curves == scratch.records.curves
        and cloned.records.layers == scratch.records.layers
    )
    for field in ("lr", "weight_decay", "momentum"):  # each change is in force
        fewer = [{name: value for name, value in changes[0].items() if name != field}]
        partly = Trial(
            source.resolve(donor.configuration, fewer).trial.spec,
            Environment(store=str(tmp_path / field)),
        )
        partly.run()
        assert partly.records.rows[0]["digest"] != whole["digest"]


def test_a_generation_waits_for_the_next_multiple_of_its_epochs_after_a_new_launch(
    tmp_path: Path,
) -> None:
    spec = make_spec(
        recipe={"epochs": 8, "batch": 256},
        space={"recipe.lr": {"log_range": [0.01, 0.2]}},
        strategy={"draw": "population", "interval": 3},
        budget={"trials": 4},
        sparsities=[0.9],
    )
    search = open_search(spec, tmp_path)
    given = [search.suggest(name, 4) for name in "abcd"]
    assert all(
        isinstance(candidate, dict) and 0.01 <= candidate["recipe.lr"] <= 0.2 for candidate in given
    )
    assert Generations(search, 0.9)._next_perturbation_sync == 3
    search.candidates.put(
        Candidate(
            **{**search.candidates.by_sparsity[0.9][0].__dict__, "epochs": 4, "values": [1.0] * 4}
        )
    )
    assert Generations(open_search(spec, tmp_path), 0.9)._next_perturbation_sync == 6


def test_the_retraining_does_not_inherit_changes_of_the_training() -> None:
    spec = make_spec(
        space={"recipe.lr": {"log_range": [0.01, 0.2]}},
        strategy="population",
        budget={"trials": 4},
        sparsities=[0.9],
    )
    made = spec.study_of(0.9, {"recipe.lr": 0.1}, seeds=[0], changes=[{"epoch": 1, "lr": 0.2}])
    assert (
        made.recipe.at(1).lr == 0.2
        and made.retrain.changes == ()
        and isinstance(made.retrain, Recipe)
    )
