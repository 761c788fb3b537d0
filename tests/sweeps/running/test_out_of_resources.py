"""Machines that run out of memory, threads or patience, with real processes.

The table in docs/running.md says what these tests show.

Covers: sweeps/running/local_ray.py.
"""

import signal
import sys
from pathlib import Path

import pytest

from tests.chaos.processes import Process, marked, send
from tests.sweeps.running.command_process import (
    LONG,
    PATIENCE,
    ROOT,
    STUDY,
    Start,
    wait_for,
    write,
)
from tests.troubles import check_trouble
from trainables.storage.store import Store


@pytest.mark.slow
def test_a_machine_without_memory_ends_the_study_instead_of_going_round(
    tmp_path: Path, start: Start
) -> None:
    """Ray's memory monitor ends every worker at once, before it can read anything."""
    write(tmp_path, seeds=[0, 1])
    memory = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    running = start(**memory)
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode in (1, 3), told
    assert "Ray ended its worker because the machine ran out of memory" in told
    assert told.count("will go on") <= 20, told


def uses_ray(process: Process) -> bool:
    """Whether a process of Python's has begun to load Ray's library."""
    try:
        return "_raylet.so" in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif("sys.platform != 'linux'", reason="by a signal of Linux's kernel")
def test_agents_that_have_half_started_end_with_a_driver_that_is_killed(
    tmp_path: Path, start: Start
) -> None:
    """They are stopped at that point, so that nothing but the kernel can end them."""
    write(tmp_path, **LONG)
    running, stopped = start(), set()

    def stop_agents() -> bool:
        for process in marked(str(running.pid)):
            is_agent = "/agent" in process.words and "/raylet/raylet" not in process.words
            if is_agent and uses_ray(process):
                send([process], signal.SIGSTOP)
                stopped.add(process.pid)
        return len(stopped) == 2

    wait_for(stop_agents)
    running.kill()
    wait_for(lambda: not marked(str(running.pid)))


HANGS = f"""
import ctypes, os, signal, sys
from ray._private import worker
sys.path.insert(0, {str(ROOT)!r})
from sweeps import full_study
from sweeps.running import cluster
from sweeps.running.deadline import run_to_exit
cluster.START_SECONDS = 40
def connect(node, *words, **how):
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGSTOP)
    ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock, as Ray's own call
worker.connect = connect
run_to_exit(full_study.main)
"""


@pytest.mark.slow
def test_a_ray_that_does_not_answer_while_it_starts_ends_the_command_with_one_line(
    tmp_path: Path, start: Start
) -> None:
    """As where the system refuses it a thread: its daemons run, and the call that connects to them
    does not come back. Meanwhile no Python of the command runs."""
    write(tmp_path)
    (tmp_path / "hangs.py").write_text(HANGS)
    running = start(shell=f'exec {sys.executable} hangs.py "${{@:3}}"')
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 3, told
    (line,) = told.splitlines()[1:]
    check_trouble("Ray does not answer while it starts", line)
    wait_for(lambda: not marked(str(running.pid)))


LIMITS = {
    "setpriv --reuid=54321 --clear-groups --ambient-caps=-all,+dac_override "
    "--inh-caps=-all,+dac_override prlimit --nproc=150:150": (
        "error: Ray needs about 200 threads and processes, and more with each trial at once, but "
        "ulimit -u leaves 1"
    ),
    "prlimit --as=5000000000": (
        "error: Ray needs about 7 GB of address space in each process, but ulimit -v allows 5.0 GB"
    ),
}


@pytest.mark.slow
@pytest.mark.skipif("os.geteuid()", reason="needs root, to become another user without processes")
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_that_are_too_low_for_ray_are_said_before_it_starts(
    limit: str, tmp_path: Path, start: Start
) -> None:
    write(tmp_path)
    running = start(shell=f'exec {limit} "$@"')
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 2, told
    assert told.splitlines()[-1].startswith(LIMITS[limit]) and "Traceback" not in told, told
    wait_for(lambda: not marked(str(running.pid)))


MEMINFO = "MemTotal: {total:>12} kB\nMemFree: {free:>12} kB\nMemAvailable: {free:>12} kB\n"
PRETEND_MEMORY = """
exec unshare -m sh -c 'mount --bind meminfo /proc/meminfo && exec "$@"' sh "$@"
"""


@pytest.mark.slow
@pytest.mark.skipif("os.geteuid()", reason="needs root, for a mount of its own")
def test_a_worker_that_is_ended_for_want_of_memory_while_it_trains_goes_on_elsewhere(
    tmp_path: Path, start: Start
) -> None:
    """Ray's error for it is one that Ray Tune does not know. The machine's memory is pretended."""

    def pretend(free: int) -> None:
        with (tmp_path / "meminfo").open("r+") as file:  # Ray reads it while it is written
            file.write(MEMINFO.format(total=2**24, free=free))

    (tmp_path / "meminfo").touch()
    pretend(2**23)
    plan = write(tmp_path, recipe={**STUDY["recipe"], "epochs": 150}, checkpoint_seconds=0.5)
    running = start(shell=PRETEND_MEMORY, RAY_memory_monitor_refresh_ms="100")
    store = Store.at(tmp_path / "out")
    wait_for(lambda: store.list("checkpoints", ".pt"))
    trials = {process.pid for process in marked(str(running.pid)) if process.is_trial}
    pretend(2**10)
    wait_for(lambda: not trials <= {process.pid for process in marked(str(running.pid))})
    pretend(2**23)
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, told
    check_trouble("a worker of Ray's is ended by its memory monitor", told)
    assert store.list("rows") == sorted(f"rows/{key}.parquet" for key in plan.by_key)
