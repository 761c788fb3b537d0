"""Troubles of real machines, with real processes: groups and terminals that are ended, output that
cannot be written, folders that are not shared, listings that lag. Machines that run out of memory
or threads are in test_out_of_resources.py.

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
from pathlib import Path
from uuid import uuid4

import pytest

from tests.chaos.ground import environment
from tests.chaos.nodes import Nodes
from tests.chaos.processes import end, marked, send
from tests.sweeps.running.command_process import (
    LONG,
    PATIENCE,
    ROOT,
    STUDY,
    Start,
    await_training,
    wait_for,
    write,
)
from tests.troubles import check_trouble
from trainables.storage.layout import state_key
from trainables.storage.store import Store


@pytest.mark.slow
def test_sigterm_to_the_whole_group_checkpoints(tmp_path: Path, start: Start) -> None:
    """As `timeout`, Slurm and systemd send it."""
    write(tmp_path, **LONG)
    running, store = start(), Store.at(tmp_path / "out")
    await_training(tmp_path, store)
    os.killpg(running.pid, signal.SIGTERM)
    told, _ = running.communicate(timeout=PATIENCE)
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
    assert running.wait(PATIENCE) == 130
    assert len(store.list("checkpoints", ".pt")) == 1 and not store.exists("lease.json")
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.slow
@pytest.mark.parametrize("shell", ['"$@" 2> /dev/full | head -n 1', 'exec "$@" >&- 2>&-'])
def test_a_study_goes_on_when_its_output_cannot_be_written(
    shell: str, tmp_path: Path, start: Start
) -> None:
    plan = write(tmp_path)
    running, store = start(shell=f"set -o pipefail; {shell}"), Store.at(tmp_path / "out")
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, told
    assert store.list("rows") == sorted(f"rows/{key}.parquet" for key in plan.by_key)


@pytest.mark.slow
def test_the_end_of_rays_control_process_is_noticed(tmp_path: Path, start: Start) -> None:
    write(tmp_path, **LONG)
    running, store = start(), Store.at(tmp_path / "out")
    await_training(tmp_path, store)
    gcs = [process for process in marked(str(running.pid)) if "gcs_server" in process.words]
    send(gcs, signal.SIGKILL)
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 3, told
    check_trouble("Ray's control process dies", told.splitlines()[-1])
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.slow
def test_sigterm_while_ray_starts_is_an_interruption(tmp_path: Path, start: Start) -> None:
    write(tmp_path, **LONG)
    running = start()
    wait_for(lambda: [p for p in marked(str(running.pid)) if "gcs_server" in p.words])
    os.killpg(running.pid, signal.SIGTERM)
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, told
    assert "Traceback" not in told and "continue with: python " in told
    wait_for(lambda: not marked(str(running.pid)))


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_trial_goes_on_while_listings_lag(tmp_path: Path, start: Start) -> None:
    """No listing shows a file before it is ten minutes old, and a trial's process is killed. The
    network writes down every batch that it sees."""
    (tmp_path / "lag").write_text("600")
    (tmp_path / "probe").mkdir()
    recipe = {**STUDY["recipe"], "epochs": 10}
    change = {"methods": ["synflow"], "checkpoint_seconds": 0.5, "recipe": recipe}
    plan = write(tmp_path, model="tests.chaos.probe:net", **change)
    running = start(
        PYTHONPATH=str(ROOT),
        CHAOS_LAG=str(tmp_path / "lag"),
        CHAOS_PROBE=str(tmp_path / "probe"),
        PRUNING_STORE_LAG="1",
    )
    store = Store.at(tmp_path / "out")
    wait_for(lambda: store.list("checkpoints", "newest"))  # which is written after the checkpoint
    key = state_key(store.list("checkpoints", ".pt")[0])
    trials = [process for process in marked(str(running.pid)) if process.is_trial]
    send(trials, signal.SIGKILL)
    told, _ = running.communicate(timeout=PATIENCE)
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
    told, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, told
    assert "a file of the user ran" not in told
    check_trouble("queue.py, analysis.py", told)
    assert (tmp_path / "out/report/report.html").is_file()

    # Edited, the network is another one: its dense weights are not those of this study.
    with (tmp_path / "models/blocks.py").open("a") as file:
        file.write("# another\n")
    again = start()
    told, _ = again.communicate(timeout=PATIENCE)
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
                timeout=PATIENCE,
            )
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: node ")
        assert f"does not see the study directory {tmp_path / 'disk/out'}" in done.stderr
        check_trouble("--out is a folder of the first machine", done.stderr)
        assert not list((tmp_path / "disk/out").rglob("*.parquet"))
    finally:
        end(mark)
        shutil.rmtree(ray, ignore_errors=True)
