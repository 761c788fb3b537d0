"""Exceptions in a worker: what is tried again, what is the trial's failure, and what the node's.

Covers: trainables/ray_trainable.py.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.trainables.ray_worker import SPEC, make_config, results
from trainables import ray_trainable
from trainables.environment import Environment
from trainables.node_faults import NodeCrowded, NodeUnfit
from trainables.ray_trainable import MAX_EXCEPTIONS, RayTrial
from trainables.storage.store import Store, StoreFull
from trainables.training.ranks import RankLostError
from trainables.trial import Trial


def breaking(error: Callable[[], Exception], times: int) -> Callable[..., None]:
    """`Trial.advance`, except that it fails the first few times."""
    left = [times]
    advance = Trial.advance

    def broken(trial: Trial, pause: Callable[[], bool]) -> None:
        if left[0] and trial.step == 1:
            left[0] -= 1
            raise error()
        advance(trial, pause)

    return broken


@pytest.mark.parametrize("times", range(1, MAX_EXCEPTIONS))
def test_a_passing_exception_is_tried_again_from_the_checkpoint(
    times: int, worker: RayTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "advance", breaking(lambda: ConnectionError("a moment"), times))
    given = results(worker)
    again = [result for result in given if result["status"] == "retrying"]
    assert len(again) == times and again[0]["error"] == "ConnectionError: a moment"
    assert given[-1]["status"] == "done"
    assert Store.at(tmp_path).list("failures") == []


def test_the_third_exception_is_the_end_with_its_traceback(
    worker: RayTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "advance", breaking(lambda: ZeroDivisionError("a bug"), 99))
    given = results(worker)
    assert [result["status"] for result in given] == ["retrying"] * (MAX_EXCEPTIONS - 1) + [
        "failed"
    ]
    recorded = json.loads(Store.at(tmp_path).read(f"failures/{SPEC.key}.json"))
    assert (
        recorded["error"] == given[-1]["error"] == "ZeroDivisionError: a bug"
        and recorded["faults"] == MAX_EXCEPTIONS
    )
    assert "in broken" in recorded["traceback"]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]
)
def test_a_lack_of_memory_comes_with_advice(
    error: Exception, worker: RayTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "advance", breaking(lambda: error, 99))
    line = results(worker)[-1]["error"]
    assert type(error).__name__ in line
    assert all(
        word in line for word in ("--gpus-per-trial", "recipe.batch", "recipe.precision=bf16")
    )


def test_a_device_in_an_unknown_state_wants_another_process(
    worker: RayTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Trial, "advance", breaking(lambda: torch.AcceleratorError("device-side assert"), 99)
    )
    with pytest.raises(torch.AcceleratorError):
        worker.step()


def test_a_lost_rank_ends_the_worker_as_its_own_death_would(
    worker: RayTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Trial] = []
    monkeypatch.setattr(Trial, "close", lambda trial: closed.append(trial))
    monkeypatch.setattr(
        Trial, "advance", breaking(lambda: RankLostError("rank 1 of 2: was killed"), 99)
    )
    with pytest.raises(RankLostError, match="rank 1 of 2"):
        results(worker)
    assert worker.exceptions == 0 and worker.trial is None and len(closed) == 1


def test_a_lost_study_directory_is_no_failure_of_the_trial(
    worker: RayTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Trial, "advance", breaking(lambda: StoreFull("the disk is full: free space"), 99)
    )
    last = results(worker)[-1]
    assert last["status"] == "store_lost" and last["error"] == "the disk is full: free space"


def test_missing_dense_weights_are_no_failure_of_the_trial(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"method": "magnitude_post", "sparsities": (0.5,)})
    environment = Environment(store=str(tmp_path))
    worker = RayTrial(make_config(spec, environment))
    given = worker.step()
    assert (
        given["done"]
        and given["status"] == "dense_weights_missing"
        and "holds no valid weights of epoch 3" in given["error"]
    )


NO_DRIVER = RuntimeError("Found no NVIDIA driver on your system. Please check that you have one")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a worker makes, none of which takes time."""
    made: list[float] = []
    monkeypatch.setattr(RayTrial, "_wait", lambda worker, seconds: made.append(seconds))
    monkeypatch.setattr(ray_trainable, "describe_node", lambda: "node 3f2a (10.0.0.7)")
    return made


def test_a_fault_of_the_node_is_not_counted_against_the_trial(
    worker: RayTrial, pauses: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Trial, "advance", breaking(lambda: NO_DRIVER, 10))
    for attempt in range(5):
        with pytest.raises(NodeUnfit) as raised:
            results(worker)
        assert str(raised.value).startswith(
            "node 3f2a (10.0.0.7): its GPU cannot be used: Found no NVIDIA driver"
        )
        assert len(pauses) == attempt + 1 and pauses[-1] >= 10
    assert worker.exceptions == 0 and worker.trial is None
    assert not list((tmp_path / "failures").rglob("*.json"))


def test_a_node_without_a_whole_torch_is_unfit(
    worker: RayTrial, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trainables.rank_processes", None)  # as if it failed
    with pytest.raises(NodeUnfit, match=r"^node 3f2a \(10.0.0.7\): torch cannot be imported: "):
        worker.step()
    assert len(pauses) == 1 and pauses[0] >= 10 and worker.exceptions == 0


def test_a_worker_waits_for_memory_that_others_hold_and_then_leaves(
    worker: RayTrial, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayTrial, "_is_crowded", lambda worker, error: True)
    monkeypatch.setattr(
        Trial, "advance", breaking(lambda: torch.OutOfMemoryError("CUDA out of memory"), 10)
    )
    for count in (1, 2, 3):
        said = next(r for r in iter(worker.step, None) if r["status"] == "retrying")
        assert said["error"] == "others take the GPU's memory" and len(pauses) == count
    with pytest.raises(NodeCrowded, match="10.0.0.7"):
        results(worker)
    assert pauses == sorted(pauses) and worker.exceptions == 0


@in_cuda_process
def test_memory_beyond_the_own_share_is_the_trials_fault(tmp_path: Path) -> None:
    from tests.pretended_gpu.instrument import PretendedGpu

    store = {"store": str(tmp_path), "device": "cuda", "sharing_gpu": 4}
    own = RayTrial.__new__(RayTrial)
    own.environment = Environment.model_validate(store)
    MiB = 2**20  # noqa: N806
    # Its share is 9,640 MiB; what the pretended GPU holds is written to, so it is little.
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9600.00 MiB.")
    with PretendedGpu(memory=40 * 1024 * MiB):
        assert own._is_crowded(error)
        held = torch.empty(64 * MiB, dtype=torch.uint8, device="cuda")
        assert not own._is_crowded(error)
        del held


def test_a_retry_waits_longer_each_time_and_the_pause_of_the_driver_is_kept(
    worker: RayTrial, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_trainable, "RETRY_PAUSE", 1.0)
    monkeypatch.setattr(Trial, "advance", breaking(lambda: RuntimeError("no"), 10))
    worker.pause = 4.0  # as in the trial's config, after its workers were lost
    assert results(worker)[-1]["status"] == "failed"
    assert pauses == [4.0, 1.0, 2.0]
