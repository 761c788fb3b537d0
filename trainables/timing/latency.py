"""How long a network takes for one batch: warm-up, then the median and the interquartile range of
up to 100 runs.

Meant for a device that has nothing else to do: a number taken beside other work is noise. The
networks are rebuilt from their form (`trainables.timing.network_structure`); no trained weights are
needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainables.environment import commit, host, versions
from trainables.training.epoch import DTYPES, autocast

if TYPE_CHECKING:
    from trainables.timing.network_structure import Form
    from trainables.training.epoch import Precision

BATCHES = (1, 256)
RUNS = 100
SECONDS = (
    20.0  # a form that would take longer for all its runs has fewer, and the table says how many
)
FEWEST = 10
WARM_UP = (
    10  # runs; fewer where they would take longer than a tenth of the limit, but never under 2
)


@dataclass(frozen=True)
class Timing:
    """What a number of runs took: median and interquartile range in milliseconds, images a second
    by the median.

    peak_bytes: the most GPU memory that tensors held during the runs, weights included; None on the
    CPU, where the allocator does not say.
    """

    batch: int
    median_ms: float
    iqr_ms: float
    runs: int
    images_per_second: float
    peak_bytes: int | None = None


def summarise(
    milliseconds: Sequence[float], batch: int, *, peak_bytes: int | None = None
) -> Timing:
    """The timing of at least two runs of a batch."""
    low, median, high = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Timing(batch, median, high - low, len(milliseconds), 1000 * batch / median, peak_bytes)


def make_call(
    model: nn.Module,
    image: tuple[int, int, int],
    *,
    batch: int,
    precision: Precision,
    device: torch.device,
) -> Callable[[], Tensor]:
    """A forward pass of the model, which is on the device already, on one batch of random images in
    channels_last.

    Weights of convolutions and linear layers are held in the precision, as a network in use holds
    them. The trial's own evaluation under autocast computes the same, but casts every weight anew
    at every batch.
    """
    store_weights(model, precision)
    model.eval()
    x = torch.randn(batch, *image, generator=torch.Generator().manual_seed(batch))
    x = x.to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> Tensor:
        with autocast(precision, device):
            out: Tensor = model(x)
        return out

    return call


def store_weights(model: nn.Module, precision: Precision) -> None:
    """Hold the weights and biases of convolutions and linear layers in a precision; all else stays
    as it is."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            module.to(DTYPES[precision])


def time_once(call: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, on a device that is idle before it."""
    if device.type != "cuda":
        began = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - began)
    # Events, because the call returns when its kernels are queued; on the stream that the call
    # itself uses.
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record(torch.cuda.current_stream(device))
    call()
    end.record(torch.cuda.current_stream(device))
    end.synchronize()
    return float(start.elapsed_time(end))


def measure(
    call: Callable[[], object],
    batch: int,
    *,
    device: torch.device,
    runs: int = RUNS,
    seconds: float = SECONDS,
) -> Timing:
    """Warm up, then time `runs` calls; fewer when `seconds` are over, but at least `FEWEST` (or
    `runs`).

    Args:
        batch: images that one call processes.
    """
    warm_up(call, device, seconds=seconds / 10)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began, taken = time.perf_counter(), list[float]()
    while len(taken) < runs and (len(taken) < FEWEST or time.perf_counter() - began < seconds):
        taken.append(time_once(call, device))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return summarise(taken, batch, peak_bytes=peak)


def warm_up(call: Callable[[], object], device: torch.device, *, seconds: float) -> None:
    """Call until caches, kernels and clocks have settled: `WARM_UP` times, or for `seconds` and at
    least twice."""
    began = time.perf_counter()
    for count in range(WARM_UP):
        if count >= 2 and time.perf_counter() - began >= seconds:
            break
        time_once(call, device)


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """PyTorch with a number of threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_form(
    form: Form,
    *,
    device: torch.device,
    threads: int,
    batches: Sequence[int] = BATCHES,
    runs: int = RUNS,
    seconds: float = SECONDS,
) -> list[dict[str, Any]]:
    """Rebuild a form and time it: for each batch size the columns of the *latency* table that are
    not a trial's own.

    A batch that does not fit into the GPU's memory has no times, and a note that says so.

    Raises:
        UserError, UserError: see `Form.rebuild`.
    """
    with threads_set(threads):
        rebuilt, kind = form.rebuild()
        model = rebuilt.to(device)
        store_weights(model, form.precision)
        label, notes = use_sparse_kernels(model, form, device) if form.patterned else (kind, "")
        same = {
            "form": label,
            "zeros": form.zeros,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": threads,
            "precision": form.precision,
            "commit": commit(),
            "versions": versions(),
            "host": host(),
        }

        def time_batch(batch: int) -> dict[str, Any]:
            try:
                call = make_call(
                    model, form.image, batch=batch, precision=form.precision, device=device
                )
                timed = asdict(measure(call, batch, device=device, runs=runs, seconds=seconds))
            except torch.OutOfMemoryError:
                timed = {
                    "batch": batch,
                    "notes": "; ".join(filter(None, [notes, "out of GPU memory"])),
                }
            return {
                **same,
                "notes": notes,
                **timed,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }

        return [time_batch(batch) for batch in batches]


def use_sparse_kernels(model: nn.Module, form: Form, device: torch.device) -> tuple[str, str]:
    """Give linear layers with a 2:4 pattern the GPU's semi-structured kernels, in place, where it
    has them.

    PyTorch has none for convolutions, nor for other patterns, nor for the CPU.

    Returns:
        The name of the form ("2:4" where a layer uses such a kernel, else "masked") and a note on
        what it rests on.
    """
    if form.pattern != (2, 4):
        return "masked", "dense kernels: PyTorch has sparse ones for 2:4 only"
    found = {
        f"{name}.weight" if name else "weight": m
        for name, m in model.named_modules()
        if isinstance(m, nn.Linear)
    }
    layers = {name: layer for name, layer in found.items() if name in form.patterned}
    used, reason = (
        [],
        "PyTorch has no sparse ones for convolutions, and no linear layer has the pattern",
    )
    for name, layer in layers.items():
        dense = layer.weight
        try:
            layer.weight = nn.Parameter(
                torch.sparse.to_sparse_semi_structured(dense.detach()), requires_grad=False
            )
            with torch.inference_mode(), autocast(form.precision, device):
                layer(torch.zeros(1, layer.in_features, device=device, dtype=dense.dtype))
            used.append(name)
        except (
            RuntimeError,
            NotImplementedError,
        ) as error:  # how torch says that device, type or shape do not fit
            layer.weight = dense
            reason = f"{name}: {' '.join(str(error).split())[:200]}"
    if used:
        return "2:4", f"2:4 kernels for {', '.join(used)}; dense ones for the rest"
    return "masked", f"dense kernels: {reason}"
