"""Forked processes: the same results in the same order, errors with their message, and nobody left
behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from analysis.reading.load import load_study
from analysis.report.fork_pool import count_processes, run_forked
from analysis.report.study_report import write_report
from tests.analysis.synthetic import write_study
from tests.analysis.synthetic_details import write_details
from trainables.storage.store import Store


def work(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_are_in_the_order_of_the_tasks(processes: int) -> None:
    with run_forked([partial(work, number) for number in range(7)], processes) as gather:
        made = gather()
    assert [square for square, _ in made] == [number * number for number in range(7)]
    assert all((pid == os.getpid()) == (processes == 1) for _, pid in made)


def test_one_task_needs_no_process() -> None:
    with run_forked([partial(work, 3)], 8) as gather:
        assert gather() == [(9, os.getpid())]


def fail() -> None:
    raise ValueError("no metric 'top9'")


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_comes_with_its_message(processes: int) -> None:
    with (
        run_forked([fail, fail], processes) as gather,
        pytest.raises(ValueError, match="no metric 'top9'"),
    ):
        gather()


def test_what_a_killed_process_had_is_done_here() -> None:
    here = os.getpid()

    def draw() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return 5

    with run_forked([draw, draw], 2) as gather:
        assert gather() == [5, 5]


def test_a_killed_command_leaves_no_process_behind() -> None:
    code = (
        "import os, sys, time\n"
        "from analysis.report.fork_pool import run_forked\n"
        "def work():\n"
        "    os.write(1, f'{os.getpid()}\\n'.encode())\n"
        "    time.sleep(60)\n"
        "with run_forked([work, work], 2) as gather:\n"
        "    gather()\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    pids = [int(command.stdout.readline()) for _ in range(2)]
    command.kill()
    command.wait()
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            break
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_command_may_fork_only_while_it_is_alone() -> None:
    code = (
        "import threading, time; from analysis.report.fork_pool import count_processes\n"
        "alone = count_processes()\n"
        "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
        "print(alone, count_processes())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    assert done.stdout.split() == [str(min(cores, 8)), "1"]
    assert count_processes() >= 1


def test_reports_are_the_same_byte_for_byte_and_name_what_a_figure_could_not_read(
    tmp_path: Path,
) -> None:
    """The reports of two equal studies, the second with two processes."""
    made, warnings = [], []
    for processes in (1, 2):
        folder = write_study(
            tmp_path / f"s{processes}", methods=("magnitude",), sparsities=(0.9,), gaps=True
        )
        write_details(folder)
        for table in ("layers", "curves"):
            min(folder.joinpath(table).rglob("*.parquet")).write_bytes(b"PAR1")
        out, study = Store.at(tmp_path / str(processes)), load_study(folder)
        _, paths = write_report(study, out=out, processes=processes)
        made.append({path: out.read(path) for path in paths})
        warnings.append(study.warnings)
    assert {path.rpartition(".")[2] for path in made[0]} == {
        "pdf",
        "svg",
        "csv",
        "md",
        "tex",
        "html",
        "json",
    }
    assert made[0].keys() == made[1].keys()
    assert [path for path in made[0] if made[0][path] != made[1][path]] == []
    assert {path.partition("-")[0] for path in made[0]} >= {"figures/layer", "figures/learning"}
    assert warnings[0] == warnings[1]
    assert [warning.split("/")[0] for warning in warnings[0]] == [
        "skipped layers",
        "skipped curves",
    ]


@pytest.mark.parametrize("error", ["raise ValueError", "os.kill(os.getppid(), signal.SIGINT)"])
def test_an_error_or_ctrl_c_does_not_wait_for_what_is_under_way(error: str) -> None:
    code = (
        "import os, signal, time\n"
        "from analysis.report.fork_pool import run_forked\n"
        f"def fail():\n    time.sleep(0.5)\n    {error}\n    time.sleep(60)\n"
        "with run_forked([lambda: time.sleep(60), fail], 2) as gather:\n"
        "    gather()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, None)
    assert "ValueError" in done.stderr or "KeyboardInterrupt" in done.stderr
