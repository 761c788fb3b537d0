"""Every method on pretended GPUs: the rows of the CPU, wherever a trial is stopped and on whichever
device it goes on, and no wait for the device inside an epoch."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pruning import registry
from tests.contract import trials_on_two_devices as devices
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.data import loader_interface
from trainables.training import epoch as epoch_module
from trainables.training.epoch import Epoch

METHODS = registry.list_methods()
GPUS = ["H200", "A100", "T4"]
# In the quick tests one method on one GPU, because a pretended GPU is slow; the
# others in the slow ones.
QUICK = ["magnitude"]
ON_ONE_GPU = [
    pytest.param(
        method,
        gpu,
        marks=()
        if method in QUICK and QUICK.index(method) % len(GPUS) == number
        else pytest.mark.slow,
    )
    for method in METHODS
    for number, gpu in enumerate(GPUS)
]
MOVED = {"magnitude"}  # in the quick tests; every other method in the slow ones
UPDATES = {"gmp", "rigl", "set"}  # they change masks inside an epoch
WAITS_PER_UPDATE = 2
UPLOADS_PER_EPOCH = 4  # its order, and the corners and flips of its crops


@contextmanager
def equal_evaluation() -> Iterator[None]:
    """Both devices evaluate as many images at once: sums over other batches round otherwise."""
    sizes = loader_interface.EVALUATION_BATCH
    with mock.patch.dict(sizes, {"cuda": sizes["cpu"]}):
        yield


@pytest.mark.parametrize(("method", "gpu"), ON_ONE_GPU)
@in_cuda_process
def test_rows_are_those_of_the_cpu(method: str, gpu: str, tmp_path: Path) -> None:
    model, precision = devices.GPUS[gpu]
    specs = devices.trials_of(method, precision)
    here = devices.run(specs, tmp_path / "here", ["cpu"])
    with equal_evaluation(), PretendedGpu(model):
        there = devices.run(specs, tmp_path / "there", ["cuda"])
        assert there.runner.network.precision == precision
        assert not (found := devices.differences(here, there)), found


@pytest.mark.parametrize(
    "method",
    [
        method if method in MOVED else pytest.param(method, marks=pytest.mark.slow)
        for method in METHODS
    ],
)
@in_cuda_process
def test_stopped_after_every_batch_it_goes_on_on_the_other_device(
    method: str, tmp_path: Path
) -> None:
    model, precision = devices.GPUS[GPUS[METHODS.index(method) % len(GPUS)]]
    specs = devices.trials_of(method, precision)
    here = devices.run(specs, tmp_path / "here", ["cpu"])
    midway: Counter[str] = Counter()
    with equal_evaluation(), PretendedGpu(model):
        moving = devices.run(
            specs,
            tmp_path / "moving",
            ["cpu", "cuda"],
            moved=lambda trial: midway.update([trial.environment.device] * trial.runner.in_epoch),
        )
        assert not (found := devices.differences(here, moving)), found
    epochs = any(epoch for _, epoch in moving.steps)
    assert not epochs or (midway["cpu"] and midway["cuda"]), midway


@pytest.mark.slow
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("order", [["cuda", "cpu"], ["cuda", "cuda"]], ids="-".join)
@pytest.mark.parametrize("method", METHODS)
@in_cuda_process
def test_so_it_does_in_every_precision_and_order(
    method: str, order: list[str], gpu: str, tmp_path: Path
) -> None:
    model, precision = devices.GPUS[gpu]
    specs = devices.trials_of(method, precision)
    here = devices.run(specs, tmp_path / "here", ["cpu"])
    with equal_evaluation(), PretendedGpu(model):
        moving = devices.run(specs, tmp_path / "moving", order)
        assert not (found := devices.differences(here, moving)), found


@dataclass
class WatchedEpochs:
    """What the host did while epochs of a trial ran, but for reading their results at the end.

    waits, uploads: of each epoch, without those in its updates of masks. updates: those that
    changed masks, by their waits and uploads.
    """

    gpu: PretendedGpu
    waits: list[int] = field(default_factory=list)
    uploads: list[int] = field(default_factory=list)
    updates: list[tuple[int, int]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the epochs of all trials in here."""
        train = Epoch.train

        def watch(epoch: Epoch, pause: Callable[[], bool]) -> Any:
            inner, before = epoch.update, len(self.updates)
            epoch.update = functools.partial(self._update, inner) if inner else None
            self.gpu.clear()
            result = train(epoch, pause)
            inside = [n for (_, place), n in self.gpu.waits.items() if not _reads_results(place)]
            new = self.updates[before:]
            self.waits.append(sum(inside) - sum(waits for waits, _ in new))
            self.uploads.append(self.gpu.uploads.total() - sum(uploads for _, uploads in new))
            self.reports.append(self.gpu.report())
            return result

        with mock.patch.object(Epoch, "train", watch):
            yield

    def _update(self, inner: Callable[[int], Any], index: int) -> Any:
        waits, uploads = self.gpu.waits.total(), self.gpu.uploads.total()
        held = inner(index)
        waits, uploads = self.gpu.waits.total() - waits, self.gpu.uploads.total() - uploads
        if held is not None or waits or uploads:
            self.updates.append((waits, uploads))
        return held


def _reads_results(place: str) -> bool:
    """Whether a line is at the end of an epoch, where its loss and accuracy are read."""
    return place.endswith(" train")


@pytest.mark.parametrize(
    "method",
    [
        method
        if method in {"magnitude", *UPDATES}
        else pytest.param(method, marks=pytest.mark.slow)
        for method in METHODS
    ],
)
@in_cuda_process
def test_inside_an_epoch_the_host_waits_for_the_device_at_updates_alone(
    method: str, tmp_path: Path
) -> None:
    specs = devices.trials_of(method, "bf16", recipe={"batch": 100})
    with PretendedGpu() as gpu, (watched := WatchedEpochs(gpu)).watching():
        devices.run(specs, tmp_path, ["cuda"])
    assert len(watched.waits) >= 2
    assert not any(watched.waits), watched.reports
    assert max(watched.uploads) <= UPLOADS_PER_EPOCH, watched.reports
    assert bool(watched.updates) == (method in UPDATES)
    for waits, uploads in watched.updates:
        assert 1 <= waits <= WAITS_PER_UPDATE and uploads <= 1, watched.reports


@in_cuda_process
def test_a_wait_in_the_training_loop_is_seen(tmp_path: Path) -> None:
    logits = epoch_module.main_logits

    def look(out: Any) -> Any:
        float(logits(out).sum())
        return logits(out)

    specs = devices.trials_of("dense", "bf16")
    with (
        mock.patch.object(epoch_module, "main_logits", look),
        PretendedGpu() as gpu,
        (watched := WatchedEpochs(gpu)).watching(),
    ):
        devices.run(specs, tmp_path, ["cuda"])
    assert watched.waits == [2, 2]
