"""Requests to stop: the first reason stays, and signals make one."""

import os
import signal
from collections.abc import Iterator

import pytest

from sweeps.running.stop_request import INTERRUPTED, StopRequest, stop_on_signals


@pytest.fixture(autouse=True)
def _no_request() -> Iterator[None]:
    yield
    StopRequest.reason = ""


def test_the_first_reason_stays_until_it_is_taken() -> None:
    StopRequest.make("the disk is full")
    StopRequest.make("another")
    assert StopRequest.take() == "the disk is full"
    assert StopRequest.take() == ""


def test_the_first_signal_asks_and_the_second_ends() -> None:
    printed: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(printed.append):
        os.kill(os.getpid(), signal.SIGTERM)
        assert StopRequest.reason == INTERRUPTED and len(printed) == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before
