"""`clusters/slurm.sh` against Slurm's commands as `slurm_stub.py` imitates them: two jobs on one
machine, a time limit, a preemption, a Ray that does not start.

Real Slurm was not at hand.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.planning.plan import make_plan
from sweeps.study_file.study import build_study
from tests.clusters.slurm_stub import JOB, Job, marked, slurm
from tests.sweeps.test_full_study import table
from tests.troubles import check_trouble
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.trial import Trial

STUDY: dict[str, Any] = {
    "name": "slurm",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 3, "batch": 128, "lr": 0.05},
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
    "checkpoint_seconds": 3600,
}
Submit = Callable[..., Job]


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Submit]:
    """Submits a job on a study file, with numbers that no other test has; ends all afterwards."""
    jobs: list[Job] = []
    base = 100 * (os.getpid() % 9000) + time.time_ns() % 90

    def begin(name: str, nodes: int = 1, **more: str) -> Job:
        folder = tmp_path / "slurm"
        words = ["--study", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name)]
        job = Job(base + len(jobs), folder, folder / "home", words, nodes)
        jobs.append(job)
        job.launch(PRUNING_DATA_CACHE=os.environ["PRUNING_DATA_CACHE"], **more)
        return job

    (tmp_path / "slurm").mkdir()
    with slurm(tmp_path / "slurm"):
        yield begin
        for job in jobs:
            job.kill()


def write(folder: Path, name: str, **change: Any) -> None:
    """Write a study file."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**STUDY, **change}))


def wait_for(condition: Callable[[], Any], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.cluster
def test_two_jobs_share_a_machine_and_each_ends_with_the_rows_of_an_undisturbed_run(
    tmp_path: Path, submit: Submit
) -> None:
    plan = make_plan(build_study(STUDY, where="test"))
    for trial in plan.trials:
        Trial(trial.spec, Environment(store=str(tmp_path / "undisturbed"))).run()
    for name in ("one", "two"):
        write(tmp_path, name)
    one, two = submit("one"), submit("two", nodes=2, TMPDIR="/tmp/" + "long" * 30)
    for job in (one, two):
        assert job.wait(400) == 0, job.log
    for name in ("one", "two"):
        assert table(tmp_path / name, "rows", plan) == table(tmp_path / "undisturbed", "rows", plan)
    wait_for(lambda: not marked(JOB, str(one.number)) + marked(JOB, str(two.number)), 60)
    assert not Path(f"/tmp/ray-{one.number}").exists()


@pytest.mark.slow
@pytest.mark.cluster
def test_before_its_time_limit_a_job_checkpoints_and_is_queued_again(
    tmp_path: Path, submit: Submit
) -> None:
    write(tmp_path, "long", recipe={**STUDY["recipe"], "epochs": 4000})
    job, store = submit("long"), Store.at(tmp_path / "long")
    wait_for(lambda: store.list("artifacts", ".pt"))
    time.sleep(2)
    job.signal_shell(signal.SIGUSR1)
    assert job.wait(120) == -1, "it asked to be queued again"
    assert len(store.list("checkpoints", ".pt")) == 1 and not store.exists("lease.json")
    # Queued again with the same id it goes on; SIGTERM to the shell (scancel --batch) ends it.
    job.launch(PRUNING_DATA_CACHE=os.environ["PRUNING_DATA_CACHE"])
    wait_for(lambda: "training in fp32" in job.log.partition("interrupted: ")[2])
    job.signal_shell(signal.SIGTERM)
    assert job.wait(120) == 130
    assert "error" not in job.log


@pytest.mark.slow
@pytest.mark.cluster
def test_a_job_that_is_taken_off_its_machine_goes_on_when_it_is_queued_again(
    tmp_path: Path, submit: Submit
) -> None:
    """SIGTERM to all processes and SIGKILL soon after."""
    write(tmp_path, "taken", recipe={**STUDY["recipe"], "epochs": 1000}, checkpoint_seconds=1)
    job, store = submit("taken"), Store.at(tmp_path / "taken")
    wait_for(lambda: store.list("checkpoints", ".pt"))
    job.kill(wait=5)
    kept = store.list("checkpoints", ".pt")
    assert kept
    job.launch(PRUNING_DATA_CACHE=os.environ["PRUNING_DATA_CACHE"])
    wait_for(lambda: set(store.list("checkpoints", ".pt")) - set(kept))
    assert "error" not in job.log.rpartition("starting: ")[2]


@pytest.mark.slow
@pytest.mark.cluster
def test_a_ray_that_does_not_start_fails_the_job(tmp_path: Path, submit: Submit) -> None:
    write(tmp_path, "none")
    (tmp_path / "slurm/home/venv/bin/ray").write_text(
        '#!/bin/sh\n[ "$1" != start ] || { echo "no port is free" >&2; exit 1; }\n'
    )
    job = submit("none")
    assert job.wait(60) == 1
    assert "error: Ray did not start on node0" in job.log
    check_trouble("Slurm: Ray does not start", job.log)
