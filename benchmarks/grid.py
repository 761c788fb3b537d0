"""A grid of short trials: against plain scripts, and how much of the machine's time it trains.

    python benchmarks/grid.py --data-dir DIR [--trials N] [--study FINISHED_STUDY ...]

Claims: 24 trainings (small CNN, 3 epochs of 5,000 CIFAR-10 images) take at most a fifth of the time
of as many plain scripts one after another as users write them (2 loader processes), and 0.4 of the
best way to run those side by side (as many at once as there are cores, one thread each). Of a study
of 60 trials on the same images, at least 0.90 of the slots' time is work of the trials. Ray's start
is left out of ours, the start of Python is part of the scripts, as it is for those who run them.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import pandas as pd
import ray
from plain_script import cut

from sweeps.planning.plan import make_plan
from sweeps.planning.trial_status import read_trial_status
from sweeps.running import run
from sweeps.running.cluster import connected
from sweeps.running.progress import Progress
from sweeps.study_file.study import build_study
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.storage.store import Store

SCRIPT = Path(__file__).with_name("plain_script.py")
MODEL, EPOCHS, IMAGES = "simple_cnn", 3, 5000


def scripts(
    trials: int, data_dir: Path, *, at_once: int, workers: int, threads: int | None
) -> float:
    """Seconds that so many plain scripts take."""

    def one(seed: int) -> None:
        command = [
            sys.executable,
            str(SCRIPT),
            MODEL,
            "--data-dir",
            str(data_dir),
            "--dataset",
            "cifar10",
        ]
        command += ["--epochs", str(EPOCHS), "--seed", str(seed), "--workers", str(workers)]
        subprocess.run(
            [*command, *(["--threads", str(threads)] if threads else [])],
            check=True,
            capture_output=True,
        )

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(trials)))
    return time.perf_counter() - began


def ours(raw: dict[str, Any], folder: Path) -> float:
    """Seconds that a study takes once Ray is up."""
    spec = build_study(raw, where="benchmark")
    plan, store = make_plan(spec), Store.at(str(folder))
    missing = read_trial_status(plan, store).missing
    environment = Environment(store=store.uri, data_dir=spec.data_dir)
    began = time.perf_counter()
    progress = Progress(
        dict(zip(missing, missing, strict=True)), dict.fromkeys(missing, 0), quiet=True
    )
    run.run_plan(plan, environment, spec.resources, progress)
    wall = time.perf_counter() - began
    assert not read_trial_status(plan, store).missing, "some trials failed"
    return wall


def efficiency(folder: Path, slots: float, wall: float | None = None) -> str:
    """Shares of the slots' time that trials worked and that they trained."""
    tables = [
        parquet_tables.decode_table("rows", path.read_bytes()).to_pandas()
        for path in folder.glob("rows/**/*.parquet")
    ]
    rows = pd.concat(tables)
    trials = rows.groupby("key").agg({"train_seconds": "max", "trial_seconds": "max"}).sum()
    if wall is None:
        wall = (
            pd.to_datetime(rows.finished.max()) - pd.to_datetime(rows.started.min())
        ).total_seconds()
    return (
        f"{rows.key.nunique()} trials in {wall:.0f} s on {slots:g} slots: "
        f"{trials.trial_seconds / wall / slots:.2f} of "
        f"the time is work of trials, {trials.train_seconds / wall / slots:.2f} pure training"
    )


def main() -> None:
    """Run the three ways one after the other, then the study of 60 trials."""
    parser = argparse.ArgumentParser(description="a grid of short trials")
    parser.add_argument("--data-dir", required=True, type=Path, help="Parquet files of CIFAR-10")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument(
        "--study", type=Path, action="append", default=[], help="a finished study to rate as well"
    )
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{MODEL}, {EPOCHS} epochs of {IMAGES} images, {platform.machine()}, {cores} cores, n = 1",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "cifar10")
        cut(given.data_dir, data, IMAGES)
        base = {
            "dataset": "cifar10",
            "data_dir": str(data),
            "model": MODEL,
            "recipe": {"epochs": EPOCHS, "hold_out": False, "weight_decay": 5e-4},
        }
        dense = {
            **base,
            "name": "grid",
            "methods": ["dense"],
            "sparsities": [0.0],
            "seeds": list(range(given.trials)),
        }
        many = {
            **base,
            "name": "sixty",
            "model": "resnet8",
            "methods": ["magnitude", "random", "snip"],
            "sparsities": [0.5, 0.8, 0.9],
            "seeds": list(range(6)),
        }
        with connected("local"):
            slots = ray.cluster_resources()["CPU"]
            own = ours(dense, Path(scratch, "grid"))
            wall = ours(many, Path(scratch, "sixty"))
        print(f"ours: {own:.1f} s for {given.trials} trials", flush=True)
        print(
            f"resnet8: {efficiency(Path(scratch, 'sixty'), slots, wall)} (claim 0.90)", flush=True
        )
        beside = scripts(given.trials, data, at_once=cores, workers=0, threads=1)
        print(
            f"scripts side by side: {beside:.1f} s; ours takes {own / beside:.2f} of it (claim "
            "0.4)",
            flush=True,
        )
        after = scripts(given.trials, data, at_once=1, workers=2, threads=None)
        print(
            f"scripts one after another: {after:.1f} s; ours takes {own / after:.2f} of it (claim "
            "0.2)",
            flush=True,
        )
    for folder in given.study:
        print(f"{folder.name}: {efficiency(folder, cores)} (claim 0.90)")


if __name__ == "__main__":
    main()
