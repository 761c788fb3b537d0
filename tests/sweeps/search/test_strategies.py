"""Who is stopped, what the model is told, and populations whose members are what their keys say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from sweeps.running.stop_request import Stop
from sweeps.search import search_command as search_command
from sweeps.search.candidate_records import Candidate
from sweeps.search.early_stopping import StoppingScheduler
from sweeps.search.population import Generations, copy_state
from sweeps.search.proposals import Proposals, worth
from tests import tuneless
from tests.tuneless import Handed, make_spec, open_search
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial import Trial

ASHA = {"draw": "random", "stop": "asha", "grace": 1, "factor": 2}


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    Stop.reason = ""


def told(
    search: Any, scheduler: StoppingScheduler, name: str, key: str, values: list[float]
) -> int:
    """Report one epoch after the other; after how many the candidate was stopped, 0 if it was not.
    """
    for epoch in range(1, len(values) + 1):
        trial: Any = Handed(name, {"key": key})
        result = {"values": values[:epoch], "val_top1": values[epoch - 1], "of": 8, "seconds": 1.0}
        if scheduler.on_trial_result(None, trial, result) == "STOP":
            return epoch
    return 0


def reference(curves: list[list[float]], *, grace: int, factor: float, longest: int) -> list[int]:
    """Asynchronous successive halving one candidate after the other: at each rung the best part of
    those so far goes on."""
    import numpy as np

    rungs: dict[int, list[float]] = {}
    level = grace
    while level <= longest:
        rungs[level], level = [], level * int(factor)
    ends = []
    for values in curves:
        end = 0
        for rung, seen in rungs.items():
            value = values[rung - 1]
            cut = float(np.percentile(seen, 100 * (1 - 1 / factor))) if seen else float("-inf")
            seen.append(value)
            if value < cut and rung < longest:
                end = rung
                break
        ends.append(end)
    return ends


def test_candidates_are_stopped_as_asha_says_also_after_a_new_launch(tmp_path: Path) -> None:
    spec = make_spec(
        strategy=ASHA,
        recipe={"epochs": 8, "batch": 256},
        sparsities=[0.9],
        budget={"trials": 8},
        checkpoint_seconds=60,
    )
    curves = [[float(10 * epoch + (7 * number) % 11) for epoch in range(8)] for number in range(8)]
    expected = reference(curves, grace=1, factor=2, longest=8)
    assert 0 in expected and any(expected)
    ends = []
    for number, values in enumerate(curves):
        search = open_search(
            spec, tmp_path
        )  # every candidate in a launch of its own: all is told again
        scheduler = StoppingScheduler(search)
        given = search.suggest("t", 1)
        assert isinstance(given, dict)
        ends.append(told(search, scheduler, "t", given["key"], values))
        row = [
            ["val_top1", values[-1]],
            ["effective_macs", 1.0],
            ["sparsity_reached", 0.9],
            ["emptied_layers", ""],
        ]
        status = "running" if ends[-1] else "done"
        search.complete(
            "t", {"status": status, "row": [*row, ["epochs", 8]], "values": values[: ends[-1] or 8]}
        )
        one = search.at[0.9][number]
        assert one.outcome == ("stopped" if ends[-1] else "done") and len(one.values) == (
            ends[-1] or 8
        )
    assert ends == expected


def test_a_rule_hears_each_epoch_once_and_a_trained_candidate_is_not_stopped(
    tmp_path: Path,
) -> None:
    spec = make_spec(strategy=ASHA, recipe={"epochs": 2, "batch": 256}, sparsities=[0.9])
    search = open_search(spec, tmp_path)
    scheduler = StoppingScheduler(search)
    heard: list[tuple[str, int]] = []
    rule = scheduler.rules[0.9]
    assert isinstance(rule, AsyncHyperBandScheduler)
    whole = rule.on_trial_result

    def listen(controller: Any, trial: Any, result: dict[str, Any]) -> str:
        heard.append((trial.trial_id, result["epochs"]))
        whole(controller, trial, result)
        return "STOP"

    rule.on_trial_result = listen  # type: ignore[method-assign]
    given = search.suggest("a", 1)
    assert isinstance(given, dict)
    trial: Any = Handed("a", {"key": given["key"]})
    for _ in range(2):  # the second report says nothing new
        answer = scheduler.on_trial_result(
            None, trial, {"values": [1.0, 2.0], "val_top1": 2.0, "of": 2}
        )
        assert answer == "CONTINUE"
    assert heard == [("a", 1), ("a", 2)]


def test_median_and_asha_run_to_their_end(tmp_path: Path) -> None:
    for stop in ("median", "asha"):
        spec = make_spec(
            strategy={"draw": "random", "stop": stop, "factor": 2},
            budget={"trials": 6},
            sparsities=[0.9],
        )
        search = tuneless.run(spec, tmp_path / stop)
        assert not Stop.reason
        assert {one.outcome for one in search.all} <= {"done", "stopped", "disconnected"}
        stopped = [one for one in search.all if one.outcome == "stopped"]
        store = Store.at(tmp_path / stop)
        assert stopped and all(not store.exists(f"rows/{one.key}.parquet") for one in stopped)
        assert any(one.outcome == "done" for one in search.all)


def test_the_model_learns_from_what_ended_and_its_proposals_depend_on_nothing_else(
    tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    spec = make_spec(
        strategy="tpe", space={"iterations": {"log_range": [1, 500]}}, budget={"trials": 99}
    )
    source, known = Proposals(spec, 0.9), list[Candidate]()
    for number in range(30):
        proposal = source.next(number, known)
        again = Proposals(spec, 0.9).next(number, known)
        assert (
            proposal is not None
            and again is not None
            and again.configuration == proposal.configuration
        )
        count = int(proposal.configuration["iterations"])
        value = 90.0 - 10 * abs(count - 60) / 60
        made = Candidate(
            0.9,
            number,
            proposal.trial.key,
            proposal.configuration,
            "done",
            val_top1=value,
            ended=number,
        )
        known.append(made)
    late = [abs(int(one.configuration["iterations"]) - 60) for one in known[15:]]
    early = [abs(int(one.configuration["iterations"]) - 60) for one in known[:10]]
    assert sorted(late)[len(late) // 2] < sorted(early)[len(early) // 2]
    assert len({one.key for one in known}) == 30


def test_what_the_model_is_told() -> None:
    limited = make_spec(objective={"max_effective_macs": 100})
    done = Candidate(0.9, 0, "k", {}, "done", val_top1=80.0, effective_macs=90.0)
    dear = Candidate(0.9, 1, "l", {}, "too costly", effective_macs=150.0)
    lost = Candidate(0.9, 2, "m", {}, "disconnected", effective_macs=90.0)
    assert (
        worth(limited, done) == [80.0]
        and worth(limited, lost) == [0.0]
        and worth(limited, dear) == [-50.0]
    )
    assert worth(limited, Candidate(0.9, 3, "n", {}, "stopped", values=[70.0])) is None
    both = make_spec(objective="pareto")
    assert worth(both, done) == [80.0, 90.0] and worth(both, lost) is None


def test_a_clone_is_bit_for_bit_a_training_from_scratch_with_the_recipe_it_is_named_by(
    tmp_path: Path,
) -> None:
    spec = make_spec(
        model="resnet8",
        recipe={"epochs": 4, "batch": 256, "augment": "crop", "lr": 0.05},
        knobs={"iterations": 3},
        space={
            "recipe.lr": {"log_range": [0.01, 0.2]},
            "recipe.weight_decay": {"choices": [0.0, 0.001]},
        },
        strategy={"draw": "population", "interval": 1},
        sparsities=[0.9],
        budget={"trials": 4},
    )
    search_command.check(spec)
    search = open_search(spec, tmp_path / "cloned")
    source = Proposals(spec, 0.9)
    donor = source.resolve({"recipe.lr": 0.05, "recipe.weight_decay": 0.0})
    changes = [{"epoch": 2, "lr": 0.1, "weight_decay": 0.001, "momentum": 0.5}]
    clone = source.resolve(donor.configuration, changes)
    assert clone.trial.key != donor.trial.key
    there = Environment(store=str(tmp_path / "cloned"), checkpoint_seconds=0)
    first = Trial(donor.trial.spec, there)
    while first.course.epochs < 2:
        first.advance()
    copy_state(search, donor.trial.key, clone.trial.key)
    cloned = Trial(clone.trial.spec, there)
    assert cloned.course.epochs == 2
    cloned.run()
    scratch = Trial(clone.trial.spec, Environment(store=str(tmp_path / "scratch")))
    scratch.run()
    first.run()
    (row,), (whole,), (other,) = cloned.course.rows, scratch.course.rows, first.course.rows
    assert (
        row["digest"] == whole["digest"] != other["digest"]
        and row["key"] == whole["key"] == clone.trial.key
    )
    assert (
        cloned.course.curves == scratch.course.curves
        and cloned.course.layers == scratch.course.layers
    )
    for field in ("lr", "weight_decay", "momentum"):  # each change is in force
        fewer = [{name: value for name, value in changes[0].items() if name != field}]
        partly = Trial(
            source.resolve(donor.configuration, fewer).trial.spec,
            Environment(store=str(tmp_path / field)),
        )
        partly.run()
        assert partly.course.rows[0]["digest"] != whole["digest"]


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
    assert all(isinstance(one, dict) and 0.01 <= one["recipe.lr"] <= 0.2 for one in given)
    assert Generations(search, 0.9)._next_perturbation_sync == 3
    search.put(Candidate(**{**search.at[0.9][0].__dict__, "epochs": 4, "values": [1.0] * 4}))
    assert Generations(open_search(spec, tmp_path), 0.9)._next_perturbation_sync == 6


def test_the_retraining_does_not_inherit_changes_of_the_training() -> None:
    spec = make_spec(
        space={"recipe.lr": {"log_range": [0.01, 0.2]}},
        strategy="population",
        budget={"trials": 4},
        sparsities=[0.9],
    )
    made = spec.study(0.9, {"recipe.lr": 0.1}, seeds=[0], changes=[{"epoch": 1, "lr": 0.2}])
    assert (
        made.recipe.at(1).lr == 0.2
        and made.retrain.changes == ()
        and isinstance(made.retrain, Recipe)
    )
