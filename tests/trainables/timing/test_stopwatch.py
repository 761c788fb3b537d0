"""The stopwatch: how often a call is timed, and what becomes of the times. No real times."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.trainables.timing.structures import CPU
from trainables.timing import stopwatch


class Clock:
    """A clock that only moves when a call takes time."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def take(self, seconds: float) -> Callable[[], None]:
        """A call that takes so long; every third one ten times."""

        def call() -> None:
            self.calls += 1
            self.now += seconds * (10 if self.calls % 3 == 0 else 1)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: made.now)
    return made


def test_the_summary_is_that_of_numpy() -> None:
    times = np.random.default_rng(0).lognormal(size=37)
    found = stopwatch.summarise_times(times.tolist(), 256, peak_bytes=5)
    low, median, high = np.percentile(times, [25, 50, 75])
    assert found.median_ms == pytest.approx(median) and found.iqr_ms == pytest.approx(high - low)
    assert found.images_per_second == pytest.approx(256 / (median / 1000))
    assert (found.runs, found.batch, found.peak_bytes) == (37, 256, 5)


@pytest.mark.parametrize(
    ("each", "runs", "timed", "warm"),
    [
        (0.001, 100, 100, 10),  # quick: all runs
        (0.001, 4, 4, 10),
        (1.0, 100, 10, 2),  # 20 s would hold 6, with every third of 10 s
        (30.0, 100, 10, 2),  # slow: the fewest that have quartiles
    ],
)
def test_runs_end_at_their_number_or_the_limit_but_never_under_ten(
    clock: Clock, each: float, runs: int, timed: int, warm: int
) -> None:
    found = stopwatch.time_calls(clock.take(each), 8, device=CPU, runs=runs, seconds=20)
    assert (found.runs, clock.calls) == (timed, timed + warm)
    assert found.median_ms == pytest.approx(1000 * each), "the median passes over the slow third"
    assert found.peak_bytes is None


def test_the_limit_leaves_as_many_runs_as_fit(clock: Clock) -> None:
    found = stopwatch.time_calls(clock.take(0.1), 1, device=CPU, runs=100, seconds=20)
    assert found.runs == 51, (
        "of 0.1, 0.1 and 1.0 s in turn 50 take 19.4 s, and the one begun then ends"
    )


def test_threads_are_set_and_put_back_whatever_happens() -> None:
    def fail() -> None:
        with stopwatch.threads_set(3):
            assert torch.get_num_threads() == 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == 1


def test_on_a_gpu_events_enclose_the_call_on_an_idle_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []

    class Event:
        made = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.name = ("start", "end")[Event.made]
            Event.made += 1

        def record(self, stream: object) -> None:
            happened.append(f"{self.name} on {stream}")

        def synchronize(self) -> None:
            happened.append(f"wait for {self.name}")

        def elapsed_time(self, other: "Event") -> float:
            assert (self.name, other.name, happened[-1]) == ("start", "end", "wait for end")
            return 1.25

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append("idle"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "stream")
    assert stopwatch.time_once(lambda: happened.append("call"), torch.device("cuda")) == 1.25
    assert happened == ["idle", "start on stream", "call", "end on stream", "wait for end"]
