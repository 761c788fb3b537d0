"""What is said while a data set is prepared."""

import pytest

from trainables.data import preparing_progress
from trainables.data.preparing_progress import PreparingProgress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(preparing_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_few_seconds_says_how_far_it_is(clock, capsys):
    progress = PreparingProgress("decoding 'own'", 100_000, 20_000)
    for _ in range(12):
        clock[0] += 1
        progress.add(1000)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "decoding 'own': 25,000 of 100,000 images, 1,000 a second, about 75 s left",
        "decoding 'own': 30,000 of 100,000 images, 1,000 a second, about 70 s left",
    ]


def test_what_is_fast_is_quiet(clock, capsys):
    progress = PreparingProgress("decoding 'own'", 100)
    for _ in range(4):
        clock[0] += 1
        progress.add(20)
    clock[0] += 10
    progress.add(20)  # and so is the end
    assert capsys.readouterr().err == ""


def test_nothing_is_said_where_it_is_not_wanted(clock, capsys):
    progress = PreparingProgress("decoding 'own'", 1000, shown=False)
    clock[0] += 60
    progress.add(1)
    assert capsys.readouterr().err == ""


def test_long_times_are_minutes(clock, capsys):
    progress = PreparingProgress("reading 'own'", 1_281_167)
    clock[0] += 10
    progress.add(10_000)
    assert capsys.readouterr().err.endswith("1,000 a second, about 21 min left\n")
