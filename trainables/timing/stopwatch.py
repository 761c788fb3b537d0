"""A stopwatch for calls on a CPU or a GPU: warm-up, then the median and the interquartile range of
up to 100 runs."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

RUNS = 100
SECONDS = 20.0  # what would take longer for all its runs has fewer; `Timing.runs` says how many
FEWEST_RUNS = 10
# Fewer where they would take longer than a tenth of the seconds, but at least 2.
WARM_UP_RUNS = 10


@dataclass(frozen=True)
class Timing:
    """What a number of runs took: median and interquartile range in milliseconds, images a second
    by the median.

    peak_bytes: the most GPU memory that tensors hold during a run, weights included; None on the
    CPU, where the allocator does not count.
    """

    batch: int
    median_ms: float
    iqr_ms: float
    runs: int
    images_per_second: float
    peak_bytes: int | None = None


def summarise_times(
    milliseconds: Sequence[float], batch: int, *, peak_bytes: int | None = None
) -> Timing:
    """The timing of at least two runs of a batch."""
    low, median, high = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Timing(batch, median, high - low, len(milliseconds), 1000 * batch / median, peak_bytes)


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


def time_calls(
    call: Callable[[], object],
    batch: int,
    *,
    device: torch.device,
    runs: int = RUNS,
    seconds: float = SECONDS,
    peak_bytes: int | None = None,
) -> Timing:
    """Warm up, then time `runs` calls; fewer when `seconds` are over, but at least `FEWEST_RUNS`
    (or `runs`).

    Args:
        batch: images that one call processes.
        peak_bytes: what `measure_peak` says of it.
    """
    warm_up(call, device, seconds=seconds / 10)
    began, times = time.perf_counter(), list[float]()
    while len(times) < runs and (len(times) < FEWEST_RUNS or time.perf_counter() - began < seconds):
        times.append(time_once(call, device))
    return summarise_times(times, batch, peak_bytes=peak_bytes)


def measure_peak(call: Callable[[], object], device: torch.device) -> int | None:
    """The most bytes of a GPU's memory that tensors hold during a call; None on the CPU.

    Not for the replay of a CUDA graph: it takes memory at its capture only.
    """
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return torch.cuda.max_memory_allocated(device)


def warm_up(call: Callable[[], object], device: torch.device, *, seconds: float) -> None:
    """Call until caches, kernels and clocks have settled: `WARM_UP_RUNS` times, or for `seconds`
    and at least twice."""
    began = time.perf_counter()
    for count in range(WARM_UP_RUNS):
        if count >= 2 and time.perf_counter() - began >= seconds:
            break
        time_once(call, device)


def wait_for_device(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """PyTorch with a number of threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
