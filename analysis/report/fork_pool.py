"""A pool of forked processes that share the work of one command: they see what was read, and
return their results."""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process
from signal import SIG_IGN, SIGINT, signal
from typing import TypeVar

MOST_PROCESSES = 8  # hardly more figures take long, and each process takes memory

Result = TypeVar("Result")
_tasks: Sequence[Callable[[], object]] = ()  # the tasks of this process, where it is a forked one


def count_processes() -> int:
    """How many processes may work side by side: the cores that this one may use; 1 where forking is
    not safe."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


@contextmanager
def run_forked(
    tasks: Sequence[Callable[[], Result]], processes: int
) -> Iterator[Callable[[], list[Result]]]:
    """Begin tasks in forked processes; yields the function that waits for their results, in the
    order of the tasks.

    With one process nothing is forked: the tasks then run when the results are asked for, and
    likewise where a process was killed. What a task raises is raised there. Tasks are never
    pickled, results are.
    """
    count = min(processes, len(tasks))
    if count < 2:
        yield lambda: [task() for task in tasks]
        return
    before = set(active_children())
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("fork"), initializer=_prepare_process, initargs=(tasks,)
    )
    try:
        futures = [pool.submit(_run_task, index) for index in range(len(tasks))]

        def gather() -> list[Result]:
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()  # an error is raised before the others are waited for
                return [future.result() for future in futures]  # type: ignore[misc]
            except BrokenProcessPool:
                return [task() for task in tasks]

        yield gather
    except BaseException:  # what is under way is not waited for when this process ends
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.kill()
        raise
    pool.shutdown(wait=False, cancel_futures=True)


def _prepare_process(tasks: Sequence[Callable[[], object]]) -> None:
    """What a forked process does first."""
    global _tasks
    _tasks = tasks
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches all of them; the one that was called handles it
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # What was read stays: collecting garbage among it over and over takes a tenth of the time.
    gc.freeze()
    gc.disable()


def _exit_with_parent() -> None:
    """End this process when the one that forked it is gone, however it ended."""
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)


def _run_task(index: int) -> object:
    result = _tasks[index]()
    gc.collect()
    return result
