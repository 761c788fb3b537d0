"""Who is stopped early, and what the model is given.

Covers: sweeps/search/early_stopping.py, sweeps/search/tpe.py, sweeps/search/proposals.py.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from sweeps.running.stop_request import StopRequest
from sweeps.search.candidate_records import Candidate
from sweeps.search.early_stopping import StoppingScheduler
from sweeps.search.proposals import Proposals, seed_for
from sweeps.search.tpe import objective_values
from tests import tuneless
from tests.tuneless import GivenTrial, make_spec, open_search
from trainables.storage.store import Store

ASHA = {"draw": "random", "stop": "asha", "grace": 1, "factor": 2}


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    StopRequest.reason = ""


def text(
    search: Any, scheduler: StoppingScheduler, name: str, key: str, values: list[float]
) -> int:
    """Report one epoch after the other; returns after how many the candidate was stopped, or 0."""
    for epoch in range(1, len(values) + 1):
        trial: Any = GivenTrial(name, {"key": key})
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
        ends.append(text(search, scheduler, "t", given["key"], values))
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
        candidate = search.candidates.by_sparsity[0.9][number]
        assert candidate.outcome == ("stopped" if ends[-1] else "done") and len(
            candidate.values
        ) == (ends[-1] or 8)
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
    trial: Any = GivenTrial("a", {"key": given["key"]})
    for _ in range(2):  # the second report says nothing new
        answer = scheduler.on_trial_result(
            None, trial, {"values": [1.0, 2.0], "val_top1": 2.0, "of": 2}
        )
        assert answer == "CONTINUE"
    assert heard == [("a", 1), ("a", 2)]


def test_the_seeds_of_draws_stay() -> None:
    """Searches that were begun by an earlier version draw the same points."""
    expected = int.from_bytes(hashlib.sha256(b"3/0.9/7/0").digest()[:4], "big")
    assert seed_for(3, 0.9, 7, 0) == expected and 0 <= expected < 2**32


def test_median_and_asha_run_to_their_end(tmp_path: Path) -> None:
    for stop in ("median", "asha"):
        spec = make_spec(
            strategy={"draw": "random", "stop": stop, "factor": 2},
            budget={"trials": 6},
            sparsities=[0.9],
        )
        search = tuneless.run(spec, tmp_path / stop)
        assert not StopRequest.reason
        assert {candidate.outcome for candidate in search.candidates.all} <= {
            "done",
            "stopped",
            "disconnected",
        }
        stopped = [
            candidate for candidate in search.candidates.all if candidate.outcome == "stopped"
        ]
        store = Store.at(tmp_path / stop)
        assert stopped and all(
            not store.exists(f"rows/{candidate.key}.parquet") for candidate in stopped
        )
        assert any(candidate.outcome == "done" for candidate in search.candidates.all)


def test_the_model_learns_from_what_ended_and_its_proposals_depend_on_nothing_else(
    tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    spec = make_spec(
        strategy="tpe", space={"iterations": {"log_range": [1, 500]}}, budget={"trials": 99}
    )
    source, known = Proposals(spec, 0.9), list[Candidate]()
    for number in range(30):
        proposal = source.propose(number, known)
        again = Proposals(spec, 0.9).propose(number, known)
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
    late = [abs(int(candidate.configuration["iterations"]) - 60) for candidate in known[15:]]
    early = [abs(int(candidate.configuration["iterations"]) - 60) for candidate in known[:10]]
    assert sorted(late)[len(late) // 2] < sorted(early)[len(early) // 2]
    assert len({candidate.key for candidate in known}) == 30


def test_what_the_model_is_told() -> None:
    limited = make_spec(objective={"max_effective_macs": 100})
    done = Candidate(0.9, 0, "k", {}, "done", val_top1=80.0, effective_macs=90.0)
    dear = Candidate(0.9, 1, "l", {}, "too costly", effective_macs=150.0)
    lost = Candidate(0.9, 2, "m", {}, "disconnected", effective_macs=90.0)
    assert (
        objective_values(limited, done) == [80.0]
        and objective_values(limited, lost) == [0.0]
        and objective_values(limited, dear) == [-50.0]
    )
    assert objective_values(limited, Candidate(0.9, 3, "n", {}, "stopped", values=[70.0])) is None
    both = make_spec(objective="pareto")
    assert objective_values(both, done) == [80.0, 90.0] and objective_values(both, lost) is None
