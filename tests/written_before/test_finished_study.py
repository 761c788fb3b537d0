"""A study that an earlier version finished stays so: its rows, its report and the networks that it
kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.statistics.results import collect_results
from sweeps import full_study
from sweeps.planning.trial_status import read_trial_status
from tests.written_before.as_before import WRITTEN, read_study, table
from trainables import saved_networks
from trainables.data.loader import make_loader
from trainables.storage.store import Store
from trainables.training.evaluation import evaluate


def test_a_finished_study_stays_finished(
    copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy("finished")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    _, plan = read_study()
    assert read_trial_status(plan, Store.at(folder)).missing == (), (
        "else the command would start Ray"
    )
    assert full_study.main(["--study", str(WRITTEN / "study.yaml"), "--out", str(folder)]) == 0
    assert "9 of 9 trials done" in capsys.readouterr().out
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    described = {folder / "study.yaml", folder / "plan.json"}
    assert {path for path in before if before[path] != after.get(path)} <= described
    assert set(after) - set(before) == {folder / "models.json"} and set(before) <= set(after)
    was, now = (json.loads(content[folder / "plan.json"])["trials"] for content in (before, after))
    assert now == was, "keys, parents and what else is planned"


def test_the_report_of_a_finished_study_has_all_its_rows(copy: Callable[[str], Path]) -> None:
    found = load_study(copy("finished"))
    assert (len(found.rows), len(found.plan), len(found.curves), len(found.layers)) == (
        11,
        9,
        74,
        33,
    )
    assert found.warnings == [] and not found.failures
    gaps = find_missing_trials(found)
    assert (gaps.done, gaps.planned, gaps.missing) == (9, 9, ())
    results = collect_results(found)
    assert len(results.values) == 11 and len(results.settings) == 2
    assert set(found.rows.loc[found.rows["latency_ms_b1"].notna(), "method"]) == {
        "dense",
        "l1_filter",
    }


def test_networks_that_were_kept_are_read_and_measure_as_before(
    copy: Callable[[str], Path],
) -> None:
    """Those of two trials, because an earlier launch asked for it."""
    folder = copy("finished")
    _, plan = read_study(keep_networks="all")
    keeping = {
        key
        for key, trial in plan.by_key.items()
        if saved_networks.list_saved_levels(Store.at(folder), key)
    }
    assert {plan.by_key[key].spec.method for key in keeping} == {"magnitude", "l1_filter"}
    assert set(read_trial_status(plan, Store.at(folder)).missing) == set(plan.by_key) - keeping
    images = make_loader("digits", None, None, hold_out=True, test=True, device="cpu")
    for key in keeping:
        (row,) = table(folder, "rows", key)
        found = saved_networks.find_saved_network(
            Store.at(folder), key, row["level"], row["digest"]
        )
        assert found is not None and found.row["digest"] == row["digest"]
        measured = evaluate(
            found.rebuild(),
            images.evaluation_batches("test"),
            precision="fp32",
            device=torch.device("cpu"),
        )
        assert measured is not None and measured.top1 == pytest.approx(row["test_top1"], abs=1)
