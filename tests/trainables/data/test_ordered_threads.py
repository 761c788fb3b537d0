"""Threads whose results come in order, with few items under way."""

import os
import threading
import time

import pytest

from trainables.data.ordered_threads import map_in_order, usable_cores


def test_results_come_in_order_whatever_takes_longer():
    def slow(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * 2

    assert list(map_in_order(slow, range(30), threads=4)) == [2 * i for i in range(30)]
    assert list(map_in_order(slow, [], threads=4)) == []


def test_several_threads_work_at_once():
    together = threading.Barrier(3, timeout=60)
    assert len(list(map_in_order(lambda _: together.wait(), range(3), threads=3))) == 3


def test_no_more_than_two_items_a_thread_are_taken_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(lambda number: number, items(), threads=2)
    assert next(results) == 0 and len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_an_error_ends_the_work_and_is_raised():
    done = []

    def fail(number: int) -> None:
        if number == 3:
            raise KeyError(number)
        done.append(number)

    with pytest.raises(KeyError, match="3"):
        list(map_in_order(fail, range(1000), threads=2))
    assert len(done) < 20


def test_cores_are_those_that_the_process_may_use(monkeypatch):

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 7}, raising=False)
    assert usable_cores() == 3
