"""A search that was stopped under an earlier version goes on to the candidates and the best it
had."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.reading.load import load_study
from analysis.reading.search_data import load_search
from sweeps import synflow_search
from sweeps.cli.study_launch import make_environment
from sweeps.planning.plan import make_plan
from sweeps.search.best_candidates import choose_best, study_of_the_best
from sweeps.search.candidate_records import read_candidates
from sweeps.search.proposals import Proposals
from sweeps.search.search_spec import SearchSpec, build_search
from sweeps.study_file.study import build_study
from sweeps.study_file.study_reader import read_study_file
from tests import tuneless
from tests.written_before.as_before import ALIKE, WRITTEN, assert_as_before, table
from trainables.storage.store import Store
from trainables.trial import Trial

STOPPED_CANDIDATES = {(0.6, 2): 2_000_026, (0.9, 2): 2_000_000}  # of a sparsity and number


def read_search() -> SearchSpec:
    return build_search(read_study_file(WRITTEN / "search.yaml"), where="search.yaml")


def assert_search_as_before(folder: Path, spec: SearchSpec) -> None:
    """All candidates and their rows, and what is best, trained anew with the confirming seed."""
    finished = WRITTEN / "search_finished_rows"
    found, expected = read_candidates(Store.at(folder)), read_candidates(Store.at(finished))
    assert len(found) == len(expected) == 8
    near = ("values", "val_top1", "effective_macs")
    for one, other in zip(found, expected, strict=True):
        was, now = (
            {n: v for n, v in asdict(c).items() if n not in ("seconds", "ended")}
            for c in (other, one)
        )
        if not ALIKE:
            was |= {
                name: pytest.approx(was[name], abs=300 if name == "effective_macs" else 6)
                for name in near
            }
        assert now == was
    bests = [
        build_study(read_study_file(place / "best.yaml"), where="best.yaml")
        for place in (folder, finished)
    ]
    plan, before = map(make_plan, bests)
    assert set(plan.by_key) == set(before.by_key)
    for below, title, keys in (
        (folder, "rows", [one.key for one in found]),
        (folder / "best", "best_rows", list(plan.by_key)),
    ):
        rows = pq.read_table(finished / f"{title}.parquet").to_pylist()
        assert {row["key"] for row in rows} == set(keys)
        for key in keys:
            assert_as_before(
                "rows", table(below, "rows", key), [row for row in rows if row["key"] == key]
            )
    continued = {one.key for one in found if (one.sparsity, one.number) in STOPPED_CANDIDATES}
    attempts = {one.key: table(folder, "rows", one.key)[-1]["attempts"] for one in found}
    assert attempts == {key: 2 if key in continued else 1 for key in attempts}, (
        "went on from its checkpoint"
    )
    assert Store.at(folder).list("checkpoints") == []


def test_a_stopped_search_is_read_as_what_it_is(
    copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy("search")
    words = ["--search", str(WRITTEN / "search.yaml"), "--out", str(folder), "--dry-run"]
    assert synflow_search.main(words) == 0
    assert capsys.readouterr().err == ""
    study_of_it = load_study(folder)
    found = load_search(study_of_it)
    assert found is not None and study_of_it.warnings == [] and found.best is None
    assert found.candidates["outcome"].tolist() == ["done", "done", "running"] * 2


def test_a_stopped_search_goes_on_to_the_candidates_and_the_best_it_had(
    copy: Callable[[str], Path],
) -> None:
    folder, spec = copy("search"), read_search()
    environment = make_environment(spec, Store.at(folder))
    for one in read_candidates(Store.at(folder)):
        if one.outcome == "running":
            found = Proposals(spec, one.sparsity).resolve(one.configuration, one.changes)
            assert found.trial.key == one.key
            assert (
                Trial(found.trial.spec, environment).start
                == STOPPED_CANDIDATES[one.sparsity, one.number]
            )
    search = tuneless.run(spec, folder)
    assert not search.queue.wants_more
    best = study_of_the_best(spec, choose_best(spec, search.candidates.by_sparsity))
    Store.at(folder).write("best.yaml", json.dumps(best).encode())
    made, below = build_study(best, where="best"), Store.at(folder / "best")
    for trial in make_plan(made).trials:
        Trial(trial.spec, make_environment(made, below)).run()
    assert_search_as_before(folder, spec)
