"""What the driver of a study costs: planning, looking, launching a finished study again, and trials
through Ray.

    python benchmarks/driver.py [TRIALS]

Claims, for 10,000 trials (the default): a dry run takes less than 3 s, launching the finished study
again less than 10 s, a trivial trial through Ray less than 40 ms beyond its own work, the driver
less than 1.5 GB; and a trial costs no more in a study of ten times the size. The study has every
method; commands are whole processes, the median of `RUNS`. The finished study holds one real
trial's rows under the keys of all others, written by the project's own code. Through Ray go a tenth
as many trials: real ones (build the network, prune at random, measure on digits, write rows) with
no epoch to train; their own seconds, divided by the slots, are taken off.
"""

import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml

from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.trial_status import read_trial_status
from sweeps.study_file.study import build_study
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.storage.store import Store

RUNS = 3
DRY, RELAUNCH, OVERHEAD, MEMORY, GROWTH = 3.0, 10.0, 40.0, 1.5, 1.2  # s, s, ms, GB, times a trial
RAW = {
    "name": "driver",
    "dataset": "digits",
    "model": "resnet8",
    "recipe": {"epochs": 1, "precision": "fp32"},
    "methods": ["all"],
    "sparsities": [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
}
TRIVIAL = {
    **RAW,
    "model": "mlp",
    "recipe": {"epochs": 0},
    "methods": ["random"],
    "sparsities": [0.5, 0.9],
}


@dataclass(frozen=True)
class Command:
    """A finished process: seconds on the wall and on the CPU, the most memory it had, in GB, and
    what it printed."""

    wall: float
    cpu: float
    memory: float
    told: str


@dataclass(frozen=True)
class Looks:
    """What commands on a study of so many trials cost: not begun, finished, finished and launched
    again."""

    trials: int
    planned: Command
    finished: Command
    relaunched: Command


def main(trials: int) -> None:
    """Print every claim with what was measured."""
    print(
        f"{_processor()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; Python "
        f"{platform.python_version()}, "
        f"Ray {version('ray')}; {time.strftime('%Y-%m-%d')}"
    )
    sizes = [_look(count) for count in (max(1, trials // 10), trials)]
    for one in sizes:
        print(f"\n{one.trials:,} trials, median of {RUNS} runs:")
        _judge("dry run", one.planned, DRY)
        _judge("dry run of the finished study", one.finished, None)
        _judge("launching the finished study again", one.relaunched, RELAUNCH)
    small, large = sizes
    more = large.trials / small.trials
    print(
        f"\nfor {more:.1f} times the trials (claim: at most {GROWTH:g} times as much CPU for each):"
    )
    for what, few, many in (
        ("dry run", small.planned, large.planned),
        ("launching the finished study again", small.relaunched, large.relaunched),
    ):
        print(
            f"{what}: {many.cpu / few.cpu:.1f} times the CPU seconds: "
            f"{_verdict(many.cpu / few.cpu <= GROWTH * more)}"
        )
    _run_through_ray(max(4, trials // 10))


def _look(trials: int) -> Looks:
    """Time the commands on a study of at least so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        per_seed = len(make_plan(build_study({**RAW, "seeds": [0]}, where="benchmark")).trials)
        raw = {**RAW, "seeds": list(range(-(-trials // per_seed)))}
        Path(folder, "study.yaml").write_text(yaml.safe_dump(raw))
        plan = make_plan(build_study(raw, where="benchmark"))
        words = ["--study", f"{folder}/study.yaml", "--out", f"{folder}/out"]
        planned = _time([*words, "--dry-run"])
        store = Store.at(f"{folder}/out")
        # In a process of its own: a child begins with the memory of this one, and its peak would be
        # that.
        writer = multiprocessing.get_context("spawn").Process(target=_finish, args=(plan, store))
        writer.start()
        writer.join()
        finished, relaunched = _time([*words, "--dry-run"]), _time(words)
        total = len(plan.trials)
        assert (
            f"{total} trials, 0 done" in planned.told
            and f"{total} trials, {total} done" in finished.told
        )
        assert f"{total} of {total} trials done" in relaunched.told
        _spoil(store, plan.trials[total // 2].key)
        assert f"{total} trials, {total - 1} done, 1 missing" in _run([*words, "--dry-run"]).told
        return Looks(total, planned, finished, relaunched)


def _finish(plan: Plan, store: Store) -> None:
    """Run one trial, and write its rows for all others."""
    from trainables.trial import Trial

    first = plan.trials[0].spec
    Trial(first, Environment(store=store.uri)).run()
    rows = parquet_tables.decode_table("rows", store.read(f"rows/{first.key}.parquet")).to_pylist()
    for trial in plan.trials[1:]:
        own = {
            **trial.spec.columns(),
            "sparsity": trial.spec.sparsities[-1] if trial.spec.sparsities else None,
        }
        store.write(
            f"rows/{trial.key}.parquet",
            parquet_tables.encode_table("rows", [{**row, **own} for row in rows]),
        )


def _spoil(store: Store, key: str) -> None:
    """Flip one bit of a trial's rows."""
    content = bytearray(store.read(f"rows/{key}.parquet"))
    content[len(content) // 3] ^= 1
    store.write(f"rows/{key}.parquet", bytes(content))


def _time(words: list[str]) -> Command:
    """The run with the median wall time, and the most memory of all."""
    runs = sorted((_run(words) for _ in range(RUNS)), key=lambda run: run.wall)
    return replace(
        runs[RUNS // 2], cpu=median(run.cpu for run in runs), memory=max(run.memory for run in runs)
    )


def _run(words: list[str]) -> Command:
    with tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "sweeps/full_study.py"), *words], stdout=told
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read()
    assert process.returncode == 0, text
    return Command(wall, used.ru_utime + used.ru_stime, _gigabytes(used.ru_maxrss), text)


def _run_through_ray(trials: int) -> None:
    """Run trivial trials and print the overhead of each, and the memory of this process, which
    drives them."""
    import ray

    from sweeps.running import run
    from sweeps.running.cluster import connected
    from sweeps.running.progress import Progress

    class Clock(Progress):
        """Notes when each trial was done."""

        def done(self, key: str, result: dict[str, object]) -> None:
            super().done(key, result)
            moments.append(time.perf_counter())

    moments: list[float] = []
    spec = build_study({**TRIVIAL, "seeds": list(range(-(-trials // 3)))}, where="benchmark")
    plan, warm = (
        make_plan(spec),
        make_plan(spec.model_copy(update={"seeds": [10**6 + i for i in range(4)]})),
    )
    with tempfile.TemporaryDirectory() as folder, connected("local"):
        store, slots = Store.at(folder), ray.cluster_resources()["CPU"]
        environment = Environment(store=store.uri)
        for one in (warm, plan):
            names = {key: key for key in read_trial_status(one, store).missing}
            moments.clear()
            began, began_cpu = time.perf_counter(), time.process_time()
            run.run_plan(
                one, environment, spec.resources, Clock(names, dict.fromkeys(names, 0), quiet=True)
            )
            wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        assert len(read_trial_status(plan, store).done) == len(plan.trials), "some trials failed"
        busy = sum(_seconds(plan, store)) / slots
    count = len(plan.trials)
    overhead = 1000 * (wall - busy) / count
    memory = _gigabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    half = len(moments) // 2
    early, late = (
        1000 * (moments[half] - moments[0]) / half,
        1000 * (moments[-1] - moments[half]) / (count - half - 1),
    )
    print(
        f"\n{count:,} trivial trials through Ray on {slots:g} slots: {wall:.1f} s, of it "
        f"{busy:.1f} s work of theirs"
    )
    print(
        f"overhead {overhead:.1f} ms per trial (claim: under {OVERHEAD:g}): "
        f"{_verdict(overhead < OVERHEAD)}"
    )
    print(f"CPU of the driver's process: {1000 * cpu / count:.1f} ms per trial")
    print(f"wall per trial {early:.1f} ms in the first half, {late:.1f} ms in the second")
    print(
        f"memory of the driver {memory:.2f} GB (claim: under {MEMORY:g}): "
        f"{_verdict(memory < MEMORY)}"
    )


def _seconds(plan: Plan, store: Store) -> Iterator[float]:
    """What each trial took in its worker."""
    for key in plan.by_key:
        yield parquet_tables.summarise_rows(store.read(f"rows/{key}.parquet"), key).seconds or 0.0


def _judge(what: str, one: Command, limit: float | None) -> None:
    claim = "" if limit is None else f" (claim: under {limit:g} s): {_verdict(one.wall < limit)}"
    memory = "" if one.memory < MEMORY else f", more than {MEMORY:g} GB: MISSED"
    print(
        f"{what}: {one.wall:.2f} s, of it {one.cpu:.2f} s of CPU, {one.memory:.2f} "
        f"GB{memory}{claim}"
    )


def _verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def _gigabytes(resident: int) -> float:
    """From what `getrusage` says: kilobytes, on a Mac bytes."""
    return resident / (1e9 if sys.platform == "darwin" else 1e6)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
