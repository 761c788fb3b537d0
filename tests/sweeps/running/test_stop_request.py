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


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_and_the_second_ends(first: signal.Signals) -> None:
    printed: list[str] = []
    before = signal.getsignal(first)
    with stop_on_signals(printed.append):
        assert callable(signal.getsignal(first)) and signal.getsignal(first) != before
        os.kill(os.getpid(), first)
        assert StopRequest.reason == INTERRUPTED and len(printed) == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(first) == before


def test_a_closed_terminal_that_is_ignored_stays_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(lambda line: None):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not StopRequest.reason
    finally:
        signal.signal(signal.SIGHUP, before)
