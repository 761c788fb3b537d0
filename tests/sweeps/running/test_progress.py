"""The printed progress: durations, the time left, and what is said when a trial ends.

Covers: sweeps/running/progress.py, sweeps/running/snapshot.py.
"""

import pytest

from sweeps.running.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3700, "1 h 02 min"), (200_000, "2 d 7 h")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_comes_from_the_time_per_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    clock[0] = 1.0
    progress = Progress({"a": "a (k=1)", "b": "b", "c": "c"}, {"a": 10, "b": 30})
    progress.started("a")
    clock[0] = 21.0
    progress.reported("a", {"epochs": 10})
    progress.done("a", {"top1": 91.234})
    assert capsys.readouterr().out == "[2/3] a (k=1)  top-1  91.23 %  20 s  ETA 56 s\n"
    progress.failed("b", "E: x", "failures/b.json")
    assert capsys.readouterr().out == "[3/3] b  FAILED: E: x  (failures/b.json)\n"


def test_epochs_of_an_earlier_launch_do_not_count_for_the_time_per_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [1.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Progress({"a": "a", "b": "b"}, {"a": 100, "b": 10})
    progress.started("a")
    clock[0] = 2.0
    progress.reported("a", {"epochs": 91, "gained": 1})
    clock[0] = 11.0
    progress.reported("a", {"epochs": 100, "gained": 10})
    progress.done("a", {})
    assert "ETA 10 s" in capsys.readouterr().out
