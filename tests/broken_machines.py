"""Machines and clusters that cannot run a study, or lose it while it runs."""

import errno
import io
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broken_directories import store_failing
from tests.raising import raising

Patch = pytest.MonkeyPatch


def taken_over(here: Path, patch: Patch) -> None:
    """Another driver takes the directory over while the study runs."""
    run_here(patch)
    patch.setattr("trainables.ray_trainable.SECONDS_PER_RESULT", 0.01)
    patch.setattr(
        "trainables.trial.Trial.advance",
        lambda *_: stop("/here/out has been taken over by process 7 on other"),
    )


def stop(reason: str) -> None:
    from sweeps.running.stop_request import StopRequest

    StopRequest.make(reason.replace("/here", str(Path.cwd())))


def run_here(patch: Patch) -> None:
    """Run trials in this process instead of on a cluster, one after the other."""
    from sweeps.planning.trial_status import read_trial_status
    from sweeps.running import run
    from sweeps.running.stop_request import StopRequest
    from trainables import ray_trainable
    from trainables.storage.store import Store

    patch.setattr(ray_trainable, "RETRY_PAUSE", 0.01)

    def run_plan(
        plan: Any, environment: Any, resources: Any, progress: Any, *, observers: Any = ()
    ) -> str:
        for key in read_trial_status(plan, Store.at(environment.store)).missing:
            config = {
                "spec": plan.by_key[key].spec.model_dump(mode="json"),
                "environment": environment.model_dump(),
            }
            trial, result = ray_trainable.RayTrial(config), {"done": False}
            while not result["done"] and not StopRequest.reason:
                result = trial.step()
            if result.get("status") == "store_lost":
                StopRequest.make(str(result["error"]))
            if StopRequest.reason:
                break
        reason, StopRequest.reason = StopRequest.reason, ""
        return reason

    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield True

    patch.setattr(run, "run_plan", run_plan)
    patch.setattr("sweeps.running.cluster.connected", connected)
    patch.setattr("sweeps.running.cluster.find_shortage", lambda resources: None)
    patch.setattr("sweeps.running.cluster.find_dashboard", lambda: "")
    patch.setattr("signal.signal", lambda number, handler: None)


def gpu_too_small(here: Path, patch: Patch) -> None:
    import torch

    run_here(patch)
    text = (
        "CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 3.94 GiB."
    )
    patch.setattr("trainables.trial.Trial.advance", raising(torch.OutOfMemoryError(text)))


def disk_full_in_a_trial(here: Path, patch: Patch) -> None:
    run_here(patch)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    patch.setattr(
        "trainables.trial.Trial.advance",
        lambda *_: store_failing(errno.ENOSPC)(here, patch) or (_ for _ in ()).throw(full),
    )


def no_gpu(here: Path, patch: Patch) -> None:
    patch.setattr("torch.cuda.is_available", lambda: False)
    patch.setattr("torch.cuda.device_count", lambda: 0)
    patch.setattr("sweeps.running.cluster.is_running", lambda: False)
    patch.setattr("sweeps.estimate.plan_cost.cpu_seconds", lambda *_: 3.6e5)


def two_cores(here: Path, patch: Patch) -> None:
    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield True

    patch.setattr("sweeps.running.cluster.connected", connected)
    patch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])


def ray_failing(error: Exception, *, reachable: bool = True) -> Callable[[Path, Patch], None]:
    """An environment in which Ray does not start, or its cluster cannot be used."""

    def fail(here: Path, patch: Patch) -> None:
        import ray

        patch.setattr(ray, "init", raising(error))
        patch.setattr("sweeps.running.cluster.is_running", lambda: False)
        if reachable:
            patch.setattr(socket, "create_connection", lambda *_, **__: io.BytesIO())

    return fail


def ray_of_another_version(here: Path, patch: Patch) -> None:
    """What Ray itself says of a cluster with other versions."""
    from ray._private.utils import check_version_info

    patch.setattr("ray._private.utils.compute_version_info", lambda: ("2.60.0", "3.11.7"))
    try:
        check_version_info({"ray_version": "2.9.0", "python_version": "3.10.4"}, "node 10.0.0.1")
    except RuntimeError as error:
        ray_failing(error)(here, patch)


def interrupted(here: Path, patch: Patch) -> None:
    patch.setattr("sweeps.cli.study_run.make_plan", raising(KeyboardInterrupt()))
    patch.setattr("sweeps.search.search_command.check_search", raising(KeyboardInterrupt()))
    patch.setattr("analysis.reading.load.load_study", raising(KeyboardInterrupt()))
    patch.setattr("trainables.export.command.export", raising(KeyboardInterrupt()))
