"""Whole searches on Ray, from the command line: killed, continued and confirmed; a population.

Covers: sweeps/search/search_run.py, sweeps/search/search_launch.py,
sweeps/search/candidate_searcher.py.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.planning.plan import make_plan
from sweeps.search.candidate_records import Candidate, read_candidates
from sweeps.search.proposals import Proposals
from sweeps.study_file.study import build_study
from tests import tuneless
from tests.tuneless import RAW, make_spec
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[3]


def start(file: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(ROOT / "sweeps/synflow_search.py"),
        "--search",
        str(file),
        "--out",
        str(out),
    ]
    return subprocess.Popen(
        [*command, "--address", "local", *words],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**RAW, **changes}))
    return path


def rows(store: Store, key: str) -> list[dict[str, Any]]:
    return list(parquet_tables.decode_table("rows", store.read(f"rows/{key}.parquet")).to_pylist())


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_search_is_killed_continued_and_confirmed(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "model": "resnet8",
        "recipe": {**RAW["recipe"], "epochs": 2, "batch": 128},
        "sparsities": [0.98],
        "space": {
            "iterations": {"choices": [1, 5, 20]},
            "schedule": {"choices": ["exponential", "linear"]},
        },
        "strategy": "grid",
        "budget": {},
        "checkpoint_seconds": 0,
    }
    file, out = write(tmp_path, **changes), tmp_path / "killed"
    first = start(file, out)
    deadline = time.monotonic() + 120
    while (
        len(
            ended := [
                candidate
                for candidate in read_candidates(Store.at(out))
                if candidate.ended is not None
            ]
        )
        < 2
    ):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    again = start(file, out)
    text, _ = again.communicate(timeout=400)
    assert again.returncode == 0, text
    assert "continuing: " in text and "every point of the space has been tried" in text
    undisturbed = tuneless.run(make_spec(**changes), tmp_path / "undisturbed")

    def plain(candidates: list[Candidate]) -> dict[tuple[float, int], tuple[Any, ...]]:
        kept = (candidate for candidate in candidates)
        return {
            (candidate.sparsity, candidate.number): (
                candidate.key,
                candidate.outcome,
                candidate.val_top1,
                candidate.values,
            )
            for candidate in kept
        }

    candidates = read_candidates(Store.at(out))
    assert (
        plain(candidates) == plain(undisturbed.candidates.all) and len(ended) < len(candidates) == 6
    )
    assert {candidate.outcome for candidate in candidates} == {"done", "disconnected"}
    store = Store.at(out)
    assert all(
        rows(store, candidate.key)[-1]["test_top1"] is None
        for candidate in candidates
        if candidate.outcome == "done"
    )
    confirmed = build_study(yaml.safe_load((out / "best.yaml").read_text()), where="best.yaml")
    (best,) = tuneless.find_best(undisturbed).values()
    for trial in make_plan(confirmed).trials:
        assert rows(store.below("best"), trial.key)[-1]["test_top1"] > 0
        searched = trial.spec.model_copy(update={"seed": 0, "test": False})
        assert trial.spec.method == "dense" or searched.key == best[0]
    assert sorted({trial.spec.seed for trial in make_plan(confirmed).trials}) == [1, 2]


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_members_of_a_population_are_what_their_keys_say(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "recipe": {**RAW["recipe"], "epochs": 4},
        "space": {
            "recipe.lr": {"log_range": [0.001, 0.3]},
            "recipe.weight_decay": {"choices": [0.0, 0.001]},
        },
        "strategy": {"draw": "population", "interval": 1},
        "budget": {"trials": 8},
    }
    running = start(write(tmp_path, **changes), tmp_path / "out", "--no-confirm")
    text, _ = running.communicate(timeout=400)
    assert running.returncode == 0, text
    spec, store = make_spec(**changes), Store.at(tmp_path / "out")
    candidates = read_candidates(store)
    clones = [candidate for candidate in candidates if candidate.parent is not None]
    assert clones and all(candidate.outcome in ("done", "stopped") for candidate in candidates)
    for sparsity in (0.9, 0.95):
        here = [candidate for candidate in candidates if candidate.sparsity == sparsity]
        assert (
            sum(candidate.outcome == "done" for candidate in here) == 4
            and sum(candidate.parent is None for candidate in here) == 4
        )
    last = max(
        (candidate for candidate in clones if candidate.outcome == "done"),
        key=lambda candidate: len(candidate.changes),
    )
    resolved = Proposals(spec, last.sparsity).resolve(last.configuration, last.changes)
    assert resolved.trial.key == last.key
    scratch = Trial(resolved.trial.spec, Environment(store=str(tmp_path / "scratch")))
    scratch.run()
    assert scratch.records.rows[-1]["digest"] == rows(store, last.key)[-1]["digest"]
    assert not (tmp_path / "out" / "best").exists() and os.path.exists(
        tmp_path / "out" / "best.yaml"
    )
