"""A study whose trials have two ranks: planned, charged, and run on Ray while ranks are killed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.planning.plan import make_plan
from sweeps.study_file.study import build_study
from trainables.environment import Environment
from trainables.rank_processes import open_trial
from trainables.storage import parquet_tables, schema
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
STUDY: dict[str, Any] = {
    "name": "ranks",
    "dataset": "digits",
    "model": "tests.networks.for_ranks:killed_once",
    "recipe": {"epochs": 2, "batch": 185, "lr": 0.1, "precision": "fp32"},
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
    "checkpoint_seconds": 0,
    "resources": {"cpus_per_trial": 2, "ranks_per_trial": 2},
}


def run_study(folder: Path, *words: str, raw: dict[str, Any] = STUDY) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, str(ROOT / "sweeps/full_study.py"), *words]
    command += ["--study", str(folder / "study.yaml"), "--out", str(folder / "out")]
    ended = subprocess.run(
        [*command, "--address", "local"],
        cwd=folder,
        env={**os.environ, "KILLED_ONCE": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_ranks_are_killed_and_the_rows_are_those_of_an_undisturbed_study(tmp_path: Path) -> None:
    told = run_study(tmp_path)
    assert (tmp_path / "rank 0").exists() and (tmp_path / "rank 1").exists()
    assert told.count("its worker died") == 2, told
    assert "rank 1 of 2: was killed by signal 9" in told, told
    # Here nobody is killed, see KilledOnce.
    plan, other = make_plan(build_study(STUDY, where="test")), tmp_path / "undisturbed"
    for planned in plan.trials:
        trial = open_trial(planned.spec, Environment(store=str(other), study="ranks", ranks=2))
        trial.run()
    for name in ("rows", "curves", "layers"):
        for key in plan.by_key:
            tables = [
                [
                    {column: row[column] for column in row if column not in schema.CIRCUMSTANCES}
                    for row in parquet_tables.read_table(Store.at(place), name, key).to_pylist()
                ]
                for place in (tmp_path / "out", other)
            ]
            assert tables[0] == tables[1] and tables[0], f"{name} of {key}"
