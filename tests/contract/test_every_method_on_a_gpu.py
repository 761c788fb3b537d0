"""Every method on pretended GPUs: the rows of the CPU, wherever a trial is stopped and on whichever
device it goes on, and no wait for the device inside an epoch.

With a network so small that a trial takes parts of a second, quickly each method in one precision;
the other precisions and orders are in the slow tests. Larger networks and other kinds are tried
with one method, and ResNet-8 with two that remove filters.
"""

from __future__ import annotations

import functools
import tempfile
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
from tests.contract.method_kinds import list_first_of_each_kind
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.data import loader_interface
from trainables.training import epoch as epoch_module
from trainables.training.epoch import Epoch
from trainables.trial import Trial

METHODS = registry.list_methods()
KINDS = list_first_of_each_kind()
GPUS = ["H200", "A100", "T4"]
# Without GroupNorm: autocast treats it otherwise on a CPU, and its gradients are summed otherwise.
NETWORKS = [
    ("resnet8", "H200"),
    ("simple_cnn", "H200"),
    ("mlp", "T4"),
    ("conv2", "A100"),
    ("tests.networks.architectures:depthwise_se", "H200"),
]
SLOW_NETWORKS = [("resnet20a", "H200"), ("vgg16", "H200"), ("resnet8", "T4")]
# Whose epochs are quickly watched: of a whole, a masked, a smaller and a new network, of several
# trainings in a trial.
WATCHED = {"dense", "magnitude", "l1_filter", "hrank", "lottery_ticket", "reinitialised"}
FILTER_METHODS = ("l1_filter", "fpgm")  # tried on a network of more widths, too
# Quickly in every precision: they train, change masks while training, and remove filters.
EVERY_PRECISION = {"dense", "gmp", "rigl", "l1_filter"}
UPDATES = {"gmp", "rigl", "set"}  # they change masks inside an epoch
WAITS_PER_UPDATE = 2
UPLOADS_PER_EPOCH = 4  # its order, and the corners and flips of its crops


def gpu_of(method: str) -> str:
    """On which GPU, and so in which precision, a method is tried first."""
    return GPUS[METHODS.index(method) % len(GPUS)]


def quick_where(quick: bool, *values: str) -> Any:
    """Parameters of a quick test or of a slow one."""
    return pytest.param(*values, marks=[] if quick else pytest.mark.slow)


# A method of each kind in the two precisions in which it is not moved above, and in both other
# orders.
OTHER_MOVES = [
    pytest.param(method, gpu, order, id=f"{method}-{gpu}-{'-'.join(order)}")
    for index, method in enumerate(sorted(EVERY_PRECISION.union(KINDS)))
    for gpu, order in zip(
        [gpu for gpu in GPUS if gpu != gpu_of(method)],
        [["cuda", "cpu"], ["cuda", "cuda"]][:: 1 if index % 2 else -1],
        strict=True,
    )
]


@contextmanager
def equal_evaluation() -> Iterator[None]:
    """Both devices evaluate as many images at once: sums over other batches round otherwise."""
    sizes = loader_interface.EVALUATION_BATCH
    with mock.patch.dict(sizes, {"cuda": sizes["cpu"]}):
        yield


@functools.cache
def _folder(name: str) -> Path:
    """A study directory of this process; the dense trainings in it serve all methods."""
    return Path(tempfile.mkdtemp(prefix=f"pretended-{name}-".replace(":", "-")))


@functools.cache
def _run(method: str, precision: str, model: str, device: str) -> Trial:
    """A trial that is never stopped, run once for all tests of a process."""
    specs = devices.trials_of(method, precision, model=model)
    alone = method if len(specs) == 1 else ""  # or it may have been done as another one's parent
    return devices.run(specs, _folder(f"{device}-{precision}-{model}-{alone}"), [device])


def _compare(method: str, gpu: str, model: str) -> None:
    """Run a trial on a GPU, and fail where anything of it is not as on the CPU."""
    kind, precision = devices.GPUS[gpu]
    here = _run(method, precision, model, "cpu")
    with equal_evaluation(), PretendedGpu(kind):
        there = _run(method, precision, model, "cuda")
        assert there.runner.network.precision == precision
        assert not (found := devices.differences(here, there)), found


def _move(method: str, gpu: str, model: str, order: list[str], folder: Path) -> Counter[str]:
    """Run a trial that is stopped after every step and batch and goes on on the next device of
    `order`, and fail where anything of it is not as on the CPU.

    Returns:
        How often it went on in the middle of an epoch, by device.
    """
    kind, precision = devices.GPUS[gpu]
    specs, midway = devices.trials_of(method, precision, model=model), Counter[str]()
    here = _run(method, precision, model, "cpu")
    with equal_evaluation(), PretendedGpu(kind):
        moving = devices.run(
            specs,
            folder,
            order,
            moved=lambda trial: midway.update([trial.environment.device] * trial.runner.in_epoch),
        )
        assert not (found := devices.differences(here, moving)), found
    assert bool(midway) == any(epoch for _, epoch in moving.steps) or midway
    return midway


@pytest.mark.parametrize(
    ("method", "gpu", "model"),
    [
        *(
            quick_where(
                method in EVERY_PRECISION or gpu_of(method) == gpu, method, gpu, devices.SMALL
            )
            for method in METHODS
            for gpu in GPUS
        ),
        *(quick_where(False, method, gpu_of(method), "resnet8") for method in FILTER_METHODS),
    ],
)
@in_cuda_process
def test_rows_are_those_of_the_cpu(method: str, gpu: str, model: str) -> None:
    _compare(method, gpu, model)


@pytest.mark.parametrize(
    ("model", "gpu"),
    NETWORKS + [pytest.param(*names, marks=pytest.mark.slow) for names in SLOW_NETWORKS],
)
@in_cuda_process
def test_so_are_those_of_other_networks(model: str, gpu: str) -> None:
    _compare("snip", gpu, model)


@pytest.mark.parametrize("images", ["mapped", "streamed"])
@in_cuda_process
def test_so_are_those_of_images_that_do_not_lie_on_the_gpu(images: str, tmp_path: Path) -> None:
    (spec,) = devices.trials_of("dense", "bf16", model=devices.SMALL)
    environment = devices.environment(tmp_path, "cuda").model_copy(update={"images": images})
    here = _run("dense", "bf16", devices.SMALL, "cpu")
    with equal_evaluation(), PretendedGpu():
        trial = Trial(spec, environment)
        trial.run()
        found = devices.differences(here, trial)
    assert images in trial.runner.loader.placement, trial.runner.loader.placement
    assert not [name for name in found if ".images:" not in name], found


@pytest.mark.parametrize("method", [quick_where(method in KINDS, method) for method in METHODS])
@in_cuda_process
def test_stopped_after_every_batch_it_goes_on_on_the_other_device(
    method: str, tmp_path: Path
) -> None:
    _move(method, gpu_of(method), devices.SMALL, ["cpu", "cuda"], tmp_path)


@in_cuda_process
def test_it_goes_both_ways_in_mid_epoch(tmp_path: Path) -> None:
    midway = _move("lottery_ticket", "H200", devices.SMALL, ["cpu", "cuda"], tmp_path)
    assert midway["cpu"] and midway["cuda"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "gpu", "order"), OTHER_MOVES)
@in_cuda_process
def test_so_it_does_in_every_precision_and_order(
    method: str, gpu: str, order: list[str], tmp_path: Path
) -> None:
    _move(method, gpu, devices.SMALL, order, tmp_path)


@dataclass
class WatchedEpochs:
    """What the host did while epochs of a trial ran, but for what it does once in them.

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
            inside = [n for (_, place), n in self.gpu.waits.items() if not _waits_rarely(place)]
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


def _waits_rarely(place: str) -> bool:
    """Whether a line is at the end of an epoch, where its loss and accuracy are read, or where a
    training begins to replay steps: see `test_step_graph.py`."""
    return place.rpartition(" ")[2] in ("train", "_capture", "find_differences")


@pytest.mark.parametrize(
    "method", [quick_where(method in WATCHED | UPDATES, method) for method in METHODS]
)
@in_cuda_process
def test_inside_an_epoch_the_host_waits_for_the_device_at_updates_alone(
    method: str, tmp_path: Path
) -> None:
    specs = devices.trials_of(method, "bf16", model=devices.SMALL, recipe={"batch": 300})
    with PretendedGpu() as gpu, (watched := WatchedEpochs(gpu)).watching():
        trial = devices.run(specs, tmp_path, ["cuda"])
    assert bool(watched.waits) or not trial.records.epochs
    assert not any(watched.waits), watched.reports
    assert max(watched.uploads, default=0) <= UPLOADS_PER_EPOCH, watched.reports
    assert bool(watched.updates) == (method in UPDATES)
    for waits, uploads in watched.updates:
        assert 1 <= waits <= WAITS_PER_UPDATE and uploads <= 1, watched.reports


@in_cuda_process
def test_a_wait_in_the_training_loop_is_seen(tmp_path: Path) -> None:
    logits = epoch_module.main_logits

    def look(out: Any) -> Any:
        float(logits(out).sum())
        return logits(out)

    specs = devices.trials_of("dense", "bf16", model=devices.SMALL)
    with (
        mock.patch.object(epoch_module, "main_logits", look),
        PretendedGpu() as gpu,
        (watched := WatchedEpochs(gpu)).watching(),
    ):
        devices.run(specs, tmp_path, ["cuda"])
    assert watched.waits == [2, 2]
