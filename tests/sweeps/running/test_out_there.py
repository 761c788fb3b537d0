"""Troubles of real machines, with real processes: groups and terminals that are ended, output that
cannot be written, memory that runs out, folders that are not shared, listings that lag.

The table in docs/running.md says what these tests show.

Covers: sweeps/running/cluster.py.
"""

import itertools
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import build_study
from tests.chaos.ground import environment
from tests.chaos.nodes import Nodes
from tests.chaos.processes import MARK, Process, end, marked, send
from tests.troubles import check_trouble
from trainables.storage.layout import state_key
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
STUDY: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 2, "batch": 128, "lr": 0.05},
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
    "checkpoint_seconds": 3600,
}
LONG = {"recipe": {**STUDY["recipe"], "epochs": 5000}}  # of which no test sees the end
Start = Callable[..., subprocess.Popen[str]]


def write(folder: Path, **change: Any) -> Plan:
    """Write the study file."""
    raw = {**STUDY, **change}
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    return make_plan(build_study(raw, where="test"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command in a folder, in a session of its own; ends it and all that it has started
    after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        *words: str, shell: str = 'exec "$@"', stdout: Any = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "sweeps/full_study.py"), "--study", "study.yaml"]
        command += ["--out", "out", *([] if "--address" in words else ["--address", "local"])]
        running = subprocess.Popen(
            ["bash", "-c", f"export {MARK}=$$; {shell}", "bash", *command, *words],
            cwd=tmp_path,
            env={**os.environ, **env},
            text=True,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(running)
        return running

    yield begin
    for running in started:
        send(marked(str(running.pid)), signal.SIGKILL)
        running.wait()
        if running.stdout:
            running.stdout.close()


def wait_for(condition: Callable[[], Any], seconds: float = 240) -> None:
    """Poll until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def await_training(folder: Path, store: Store) -> None:
    """Until a trial has passed its first epoch: it has stored the weights of before."""
    wait_for(lambda: store.list("artifacts", ".pt"))
    time.sleep(1)


@pytest.mark.slow
def test_sigterm_to_the_whole_group_checkpoints(tmp_path: Path, start: Start) -> None:
    """As `timeout`, Slurm and systemd send it."""
    write(tmp_path, **LONG)
    running, store = start(), Store.at(tmp_path / "out")
    await_training(tmp_path, store)
    os.killpg(running.pid, signal.SIGTERM)
    told, _ = running.communicate(timeout=50)
    assert running.returncode == 130, told
    check_trouble("Ctrl-C, SIGTERM", told)
    assert told.splitlines()[-1].startswith("interrupted: 0 of 2 trials done; continue with: ")
    assert len(store.list("checkpoints", ".pt")) == 1
    assert not store.exists("lease.json") and not store.list("launches")
    wait_for(lambda: not marked(str(running.pid)))


CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(1, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
def test_a_closed_terminal_checkpoints(tmp_path: Path, start: Start) -> None:
    write(tmp_path, **LONG)
    ours, theirs = pty.openpty()
    shell = f'exec {sys.executable} -c {shlex.quote(CONTROLLED)} "$@"'
    running, store = start(stdout=theirs, shell=shell), Store.at(tmp_path / "out")
    os.close(theirs)
    await_training(tmp_path, store)
    os.close(ours)
    assert running.wait(60) == 130
    assert len(store.list("checkpoints", ".pt")) == 1 and not store.exists("lease.json")
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell", ['"$@" 2>&1 | head -n 1', '"$@" > /dev/full 2>&1', 'exec "$@" >&- 2>&-']
)
def test_a_study_goes_on_when_its_output_cannot_be_written(
    shell: str, tmp_path: Path, start: Start
) -> None:
    plan = write(tmp_path)
    running, store = start(shell=f"set -o pipefail; {shell}"), Store.at(tmp_path / "out")
    told, _ = running.communicate(timeout=240)
    assert running.returncode == 0, told
    assert store.list("rows") == sorted(f"rows/{key}.parquet" for key in plan.by_key)


@pytest.mark.slow
def test_the_end_of_rays_control_process_is_noticed(tmp_path: Path, start: Start) -> None:
    write(tmp_path, **LONG)
    running, store = start(), Store.at(tmp_path / "out")
    await_training(tmp_path, store)
    gcs = [process for process in marked(str(running.pid)) if "gcs_server" in process.words]
    send(gcs, signal.SIGKILL)
    told, _ = running.communicate(timeout=50)
    assert running.returncode == 3, told
    check_trouble("Ray's control process dies", told.splitlines()[-1])
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.slow
def test_sigterm_while_ray_starts_is_an_interruption(tmp_path: Path, start: Start) -> None:
    write(tmp_path, **LONG)
    running = start()
    wait_for(lambda: [p for p in marked(str(running.pid)) if "gcs_server" in p.words])
    os.killpg(running.pid, signal.SIGTERM)
    told, _ = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "Traceback" not in told and "continue with: python " in told
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.slow
def test_a_machine_without_memory_ends_the_study_instead_of_going_round(
    tmp_path: Path, start: Start
) -> None:
    """Ray's memory monitor ends every worker at once, before it can read anything."""
    write(tmp_path, seeds=[0, 1])
    memory = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    running = start(**memory)
    told, _ = running.communicate(timeout=400)
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
    wait_for(lambda: not marked(str(running.pid)), 60)


HANGS = f"""
import os, signal, sys
from ray._private import worker
sys.path.insert(0, {str(ROOT)!r})
from sweeps import full_study
from sweeps.running import cluster
from sweeps.running.deadline import run_to_exit
connect, cluster.START_SECONDS = worker.connect, 40
def stop_and_connect(node, *words, **how):
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGSTOP)
    connect(node, *words, **how)
worker.connect = stop_and_connect
run_to_exit(full_study.main)
"""


@pytest.mark.slow
def test_a_ray_that_does_not_answer_while_it_starts_ends_the_command_with_one_line(
    tmp_path: Path, start: Start
) -> None:
    """As where the system refuses it a thread. Meanwhile no Python of the command runs."""
    write(tmp_path)
    (tmp_path / "hangs.py").write_text(HANGS)
    running = start(shell=f'exec {sys.executable} hangs.py "${{@:3}}"')
    told, _ = running.communicate(timeout=200)
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
    told, _ = running.communicate(timeout=100)
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
    plan = write(tmp_path, recipe={**STUDY["recipe"], "epochs": 300}, checkpoint_seconds=0.5)
    running = start(shell=PRETEND_MEMORY, RAY_memory_monitor_refresh_ms="100")
    store = Store.at(tmp_path / "out")
    wait_for(lambda: store.list("checkpoints", ".pt"))
    trials = {process.pid for process in marked(str(running.pid)) if process.is_trial}
    pretend(2**10)
    wait_for(lambda: not trials <= {process.pid for process in marked(str(running.pid))})
    pretend(2**23)
    told, _ = running.communicate(timeout=240)
    assert running.returncode == 0, told
    check_trouble("a worker of Ray's is ended by its memory monitor", told)
    assert store.list("rows") == sorted(f"rows/{key}.parquet" for key in plan.by_key)


@pytest.mark.slow
def test_a_trial_goes_on_while_listings_lag(tmp_path: Path, start: Start) -> None:
    """No listing shows a file before it is ten minutes old, and a trial's process is killed. The
    network writes down every batch that it sees."""
    (tmp_path / "lag").write_text("600")
    (tmp_path / "probe").mkdir()
    recipe = {**STUDY["recipe"], "epochs": 12}
    change = {"methods": ["synflow"], "checkpoint_seconds": 0.5, "recipe": recipe}
    plan = write(tmp_path, model="tests.chaos.probe:net", **change)
    running = start(
        PYTHONPATH=str(ROOT),
        CHAOS_LAG=str(tmp_path / "lag"),
        CHAOS_PROBE=str(tmp_path / "probe"),
        PRUNING_STORE_LAG="1",
    )
    store = Store.at(tmp_path / "out")
    wait_for(lambda: store.list("checkpoints", ".pt"))
    key = state_key(store.list("checkpoints", ".pt")[0])
    trials = [process for process in marked(str(running.pid)) if process.is_trial]
    send(trials, signal.SIGKILL)
    told, _ = running.communicate(timeout=240)
    assert running.returncode == 0, told
    assert "will go on: its worker died" in told
    check_trouble("the listings of a network disk lag behind", told)
    assert store.list("rows") == sorted(f"rows/{key}.parquet" for key in plan.by_key)
    logs = [path.read_text().splitlines() for path in (tmp_path / "probe").glob("*.log")]
    begun = [
        batch.split()[1]
        for lines in logs
        for opened, batch in itertools.pairwise(lines)
        if f" open {key}" in opened and " open " not in batch
    ]
    assert len(begun) == len(set(begun)) > 1, "it did not begin with the same batch again"


@pytest.mark.slow
def test_files_of_the_users_take_the_place_of_no_module(tmp_path: Path, start: Start) -> None:
    """Named like modules of Python's, of Ray's needs and of ours, beside a study of a network that
    lies in the user's own package `models`."""
    for name in ("queue", "code", "profile", "cProfile", "platform", "analysis", "sched", "uuid"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user ran')\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/blocks.py").write_text("from torch import nn\nBLOCK = nn.Flatten\n")
    (tmp_path / "models/tiny.py").write_text(
        "from math import prod\nfrom torch import nn\nfrom models.blocks import BLOCK\n\n"
        "def net(image, classes):\n"
        "    return nn.Sequential(BLOCK(), nn.Linear(prod(image), classes))\n"
    )
    write(tmp_path, model="models.tiny:net")
    running = start("--watch")
    told, _ = running.communicate(timeout=240)
    assert running.returncode == 0, told
    assert "a file of the user ran" not in told
    check_trouble("queue.py, analysis.py", told)
    assert (tmp_path / "out/report/report.html").is_file()

    # Edited, the network is another one: its dense weights are not those of this study.
    with (tmp_path / "models/blocks.py").open("a") as file:
        file.write("# another\n")
    again = start()
    told, _ = again.communicate(timeout=60)
    assert again.returncode == 2 and told.count("\n") == 1, told
    check_trouble("your network's file", told)


@pytest.mark.slow
@pytest.mark.skipif("os.geteuid()", reason="needs root, for a mount of its own")
def test_a_folder_that_a_machine_does_not_share_ends_the_study_before_it_trains_there(
    tmp_path: Path,
) -> None:
    """The only node that can run trials sees an empty folder in the place of the driver's."""
    write(tmp_path)
    mark, ray = uuid4().hex[:12], Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    surroundings = environment(ray, mark, {})
    (tmp_path / "disk").mkdir()
    try:
        with Nodes.started(ray, surroundings) as nodes:
            nodes.add_apart(str(tmp_path / "disk"))
            command = [sys.executable, str(ROOT / "sweeps/full_study.py"), "--study", "study.yaml"]
            done = subprocess.run(
                [*command, "--out", str(tmp_path / "disk/out"), "--address", nodes.address],
                cwd=tmp_path,
                env=surroundings,
                capture_output=True,
                text=True,
                timeout=200,
            )
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: node ")
        assert f"does not see the study directory {tmp_path / 'disk/out'}" in done.stderr
        check_trouble("--out is a folder of the first machine", done.stderr)
        assert not list((tmp_path / "disk/out").rglob("*.parquet"))
    finally:
        end(mark)
        shutil.rmtree(ray, ignore_errors=True)
