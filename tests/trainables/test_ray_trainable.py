"""The adapter, without a cluster: exceptions of a trial, leaving, and what the driver gets."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.pretended_gpu.cuda_process import in_cuda_process
from trainables import ray_trainable
from trainables.environment import Environment
from trainables.node_faults import NodeCrowded, NodeUnfit
from trainables.ray_trainable import MAX_EXCEPTIONS, Leaving, RayTrial
from trainables.storage import checkpoints
from trainables.storage.store import Store, StoreFull
from trainables.training.ranks import RankLostError
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits", model="mlp", method="dense", seed=1, recipe=Recipe(epochs=3, batch=100)
)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayTrial]:
    """A worker with a dense trial to do; its process's own handler of SIGTERM is put back
    afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ray_trainable, "RETRY_PAUSE", 0.0)
    environment = Environment(store=str(tmp_path), checkpoint_seconds=1e9)
    yield RayTrial(
        {"spec": SPEC.model_dump(mode="json"), "environment": environment.model_dump(mode="json")}
    )
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step ends after one batch."""
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", 0.0)
    monkeypatch.setattr(
        Trial, "advance", lambda trial, pause, advance=Trial.advance: advance(trial, lambda: True)
    )


def results(worker: RayTrial) -> list[dict[str, Any]]:
    given = [worker.step()]
    while not given[-1]["done"]:
        given.append(worker.step())
    return given


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


def test_a_trial_runs_and_its_result_says_how_far(worker: RayTrial) -> None:
    last = results(worker)[-1]
    assert (
        last["status"] == "done"
        and last["steps_done"] == last["steps"] == 4
        and last["epochs"] == last["gained"] == 3
    )
    assert 10 < last["top1"] <= 100


def test_a_result_comes_from_the_middle_of_a_long_epoch(
    tmp_path: Path, worker: RayTrial, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", -1.0)
    monkeypatch.setattr(RayTrial, "_must_leave", lambda self: False)
    assert worker.step()["steps_done"] == 0  # opened, and no step done
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", 1e-9)
    assert worker.trial is not None
    while not worker.trial.runner.in_epoch:
        worker.trial.advance(lambda: True)
    given = worker.step()
    assert not given["done"] and given["status"] == "running"


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
    worker = RayTrial(
        {"spec": spec.model_dump(mode="json"), "environment": environment.model_dump(mode="json")}
    )
    given = worker.step()
    assert (
        given["done"]
        and given["status"] == "dense_weights_missing"
        and "holds no valid weights of epoch 3" in given["error"]
    )


def test_what_the_driver_gave_up_is_not_begun(worker: RayTrial, tmp_path: Path) -> None:
    Store.at(tmp_path).write(
        f"failures/{SPEC.key}.json", json.dumps({"error": "lost 5 times"}).encode()
    )
    assert worker.step() == {
        "done": True,
        "status": "failed",
        "steps_done": 0,
        "error": "lost 5 times",
    }
    assert worker.trial is None


def test_sigterm_checkpoints_after_the_batch_and_leaves(
    worker: RayTrial, tmp_path: Path, monkeypatch: Any
) -> None:
    advance = Trial.advance

    def hit(trial: Trial, pause: Callable[[], bool]) -> None:
        if trial.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(trial, pause)

    monkeypatch.setattr(Trial, "advance", hit)
    with pytest.raises(Leaving):
        results(worker)
    monkeypatch.undo()
    found = checkpoints.read_newest_state(Store.at(tmp_path), f"checkpoints/{SPEC.key}", "step")
    assert found is not None and "step-000001000001-" in found[0], "one epoch and one batch"
    with pytest.raises(Leaving):
        worker.step()  # another trial does not begin here

    calm = Trial(SPEC, Environment(store=str(tmp_path / "calm")))
    calm.run()
    moved = Trial(SPEC, Environment(store=str(tmp_path)))
    assert moved.start == 1_000_001 and moved.attempts == 2
    moved.run()
    assert moved.records.rows[-1]["digest"] == calm.records.rows[-1]["digest"]


def test_sigterm_between_trials_ends_the_worker_as_ray_does(
    tmp_path: Path, worker: RayTrial
) -> None:
    ended: list[int] = []
    worker._end = lambda number, frame: ended.append(number)
    os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [signal.SIGTERM]


def test_a_node_that_is_drained_is_left(
    worker: RayTrial, tmp_path: Path, cut: None, monkeypatch: Any
) -> None:
    worker.step()
    monkeypatch.setattr(ray_trainable, "_is_draining", lambda: True)
    with pytest.raises(Leaving):
        worker.step()


def test_ray_is_asked_whether_it_drains_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none runs, none is started by asking."""
    assert not ray_trainable._is_draining() and not ray_trainable.ray.is_initialized()
    here = SimpleNamespace(get_node_id=lambda: "3f2a")
    monkeypatch.setattr(ray_trainable.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray_trainable.ray, "get_runtime_context", lambda: here)
    for draining in ({"3f2a": 0}, {"77b1": 0}, {}):
        told = SimpleNamespace(get_draining_nodes=lambda draining=draining: draining)
        monkeypatch.setattr(ray_trainable, "state", told)
        assert ray_trainable._is_draining() == ("3f2a" in draining)
    monkeypatch.setattr(ray_trainable, "state", None)
    assert not ray_trainable._is_draining(), "Ray does not say"


def test_reused_for_another_trial_it_starts_from_nothing(worker: RayTrial, tmp_path: Path) -> None:
    worker.step()
    other = SPEC.model_copy(update={"seed": 2})
    environment = Environment(store=str(tmp_path))
    handler = signal.getsignal(signal.SIGTERM)
    assert worker.reset_config(
        {"spec": other.model_dump(mode="json"), "environment": environment.model_dump(mode="json")}
    )
    assert (
        worker.trial is None
        and worker.exceptions == 0
        and signal.getsignal(signal.SIGTERM) == handler
    )
    assert callable(worker._end) or isinstance(worker._end, signal.Handlers)
    results(worker)
    assert Store.at(tmp_path).exists(f"rows/{other.key}.parquet")


NO_DRIVER = RuntimeError("Found no NVIDIA driver on your system. Please check that you have one")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a worker makes, none of which takes time."""
    made: list[float] = []
    monkeypatch.setattr(RayTrial, "_wait", lambda worker, seconds: made.append(seconds))
    monkeypatch.setattr(ray_trainable, "_node", lambda: "node 3f2a (10.0.0.7)")
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


def test_nothing_is_trained_in_another_folder_than_the_drivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.storage.launch_token.SECONDS", 0.1)
    environment = Environment(store=str(tmp_path / "elsewhere"), launch="0123")
    before = signal.getsignal(signal.SIGTERM)
    alone = RayTrial(
        {"spec": SPEC.model_dump(mode="json"), "environment": environment.model_dump(mode="json")}
    )
    signal.signal(signal.SIGTERM, before)
    result = alone.step()
    assert result["done"] and result["status"] == "store_not_shared"
    assert "does not see the study directory" in result["error"] and alone.trial is None
    assert not (tmp_path / "elsewhere").exists()
