"""Forked processes that share the work of one command: they see what was read and hand back what
they made."""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from signal import SIG_IGN, SIGINT, signal
from typing import TypeVar

MOST = 8  # a report has hardly more figures that take long, and each process takes memory

Made = TypeVar("Made")
_tasks: Sequence[Callable[[], object]] = ()  # of this process, where it is a forked one


def count_workers() -> int:
    """How many processes may work side by side: the cores that this one may use; 1 where forking is
    not safe."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), MOST)


@contextmanager
def spread(tasks: Sequence[Callable[[], Made]], workers: int) -> Iterator[Callable[[], list[Made]]]:
    """Begin tasks in forked processes; yields what waits for their results, in the order of the
    tasks.

    With one worker nothing is forked: the tasks are then run when the results are asked for, and
    likewise where a process was killed. What a task raises is raised there. Tasks are never
    pickled, results are.
    """
    count = min(workers, len(tasks))
    if count < 2:
        yield lambda: [task() for task in tasks]
        return
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("fork"), initializer=_settle, initargs=(tasks,)
    )
    try:
        parts = [pool.submit(_work, index) for index in range(len(tasks))]

        def gather() -> list[Made]:
            try:
                return [part.result() for part in parts]  # type: ignore[misc]
            except BrokenProcessPool:
                return [task() for task in tasks]

        yield gather
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _settle(tasks: Sequence[Callable[[], object]]) -> None:
    """What a forked process does first."""
    global _tasks
    _tasks = tasks
    signal(SIGINT, SIG_IGN)  # Ctrl-C goes to all of them; the one that was called answers it
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    gc.freeze()  # what was read stays: looking through it again and again takes a tenth of the time
    gc.disable()


def _leave_with_parent() -> None:
    """End this process when the one that forked it is gone, however it went."""
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(index: int) -> object:
    made = _tasks[index]()
    gc.collect()
    return made
