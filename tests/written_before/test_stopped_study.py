"""A study that was stopped under an earlier version goes on where it stood, to the rows it had."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from sweeps import full_study
from sweeps.cli.study_launch import make_environment
from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import read_trial_status
from tests.written_before.as_before import WRITTEN, assert_as_before, read_study, table
from trainables.storage.store import Store
from trainables.trial import Trial

# method, optimiser: steps x 1,000,000 + batches of the epoch under way, at the newest checkpoint
STOPPED = {
    ("dense", "adam"): 1_000_017,
    ("gmp", "sgd"): 2_000_024,
    ("l1_filter", "sgd"): 2_000_005,
    ("lottery_ticket", "sgd"): 10_000_000,
    ("sparsegpt", "sgd"): 2_000_000,
}


def assert_study_as_before(folder: Path, plan: Plan) -> None:
    """All tables of all trials, and no checkpoint left."""
    for name in ("rows", "curves", "layers"):
        for key in plan.by_key:
            assert_as_before(name, table(folder, name, key), table(WRITTEN / "finished", name, key))
    assert (
        Store.at(folder).list("checkpoints") == []
        and read_trial_status(plan, Store.at(folder)).missing == ()
    )


def test_a_stopped_study_is_read_as_what_it_is(
    copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy("half_done")
    words = ["--study", str(WRITTEN / "study.yaml"), "--out", str(folder), "--dry-run"]
    assert full_study.main(words) == 0
    assert "9 trials, 2 done, 7 missing" in capsys.readouterr().out
    found = load_study(folder)
    gaps = find_missing_trials(found)
    assert found.warnings == [] and len(found.rows) == 2
    assert (gaps.done, len(gaps.missing), len(gaps.begun)) == (2, 7, len(STOPPED))


def test_every_stopped_trial_goes_on_from_its_checkpoint_to_the_rows_it_had(
    copy: Callable[[str], Path],
) -> None:
    folder = copy("half_done")
    spec, plan = read_study()
    store = Store.at(folder)
    planned = {trial["key"] for trial in json.loads((folder / "plan.json").read_text())["trials"]}
    assert set(plan.by_key) == planned, "no key has changed"
    state = read_trial_status(plan, store)
    names = {
        key: (trial.spec.method, trial.spec.recipe.optimizer) for key, trial in plan.by_key.items()
    }
    assert {names[key] for key in state.done} == {("dense", "sgd"), ("magnitude", "sgd")}
    assert {names[key] for key in state.missing} == {
        *STOPPED,
        ("synflow", "sgd"),
        ("random", "sgd"),
    }
    environment = make_environment(spec, store)
    for key in state.missing:
        trial = Trial(plan.by_key[key].spec, environment)
        assert trial.start == STOPPED.get(names[key], 0), names[key]
        assert (trial.runner.batches > 0) == (trial.start % 1_000_000 > 0)
        trial.run()
        rows = table(folder, "rows", key)
        assert rows[-1]["attempts"] == (2 if names[key] in STOPPED else 1), names[key]
    assert_study_as_before(folder, plan)
