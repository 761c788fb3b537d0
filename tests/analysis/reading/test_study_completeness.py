"""What a study lacks: failed trials, those that needed them, and those that are still to come."""

import json
from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials, list_missing_trials
from tests.analysis.synthetic import Writer, make_key, make_row


def test_what_is_missing_follows_the_parents(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    dense = writer.add([make_row("dense", 0.0, 1)], outcome="failed")
    child = writer.add([make_row("magnitude", 0.5, 1)], outcome="missing", parents=[dense])
    grandchild = writer.add([make_row("random", 0.5, 1)], outcome="missing", parents=[child])
    other = writer.add([make_row("dense", 0.0, 2)], outcome="missing")
    waiting = writer.add([make_row("magnitude", 0.5, 2)], outcome="missing", parents=[other])
    retried = writer.add([make_row("dense", 0.0, 3)])
    report = {"key": retried, "error": "first line\nsecond", "attempts": 1}
    writer.store.write(f"failures/{retried}.json", json.dumps(report).encode())
    missing = find_missing_trials(load_study(writer.finish()))
    assert [failure.key for failure in missing.failed] == [dense]
    assert missing.failed[0].attempts == 3
    assert missing.blocked == {child: dense, grandchild: dense}
    assert missing.missing == (other, waiting)
    assert (missing.done, missing.planned) == (1, 6)


def test_a_cycle_of_parents_ends(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    rows = [make_row("magnitude", 0.5, seed) for seed in (1, 2)]
    keys = [make_key(row) for row in rows]
    writer.add([rows[0]], outcome="missing", parents=[keys[1]])
    writer.add([rows[1]], outcome="missing", parents=[keys[0]])
    assert find_missing_trials(load_study(writer.finish())).missing == tuple(keys)


def test_levels_without_a_value_of_the_metric_are_missing_too(tmp_path: Path) -> None:
    writer = Writer(tmp_path, seeds=(1, 2))
    writer.add([make_row("magnitude", 0.5, 1)])
    diverged = writer.add([make_row("magnitude", 0.5, 2, test_loss=float("nan"))])
    levels = [make_row("lottery_ticket", s, 1, level=k) for k, s in enumerate((0.2, 0.36), 1)]
    levels[1]["test_loss"] = None
    iterated = writer.add(levels)
    study = load_study(writer.finish())
    missing = find_missing_trials(study, "test_loss")
    assert set(missing.valueless_keys) == {diverged, iterated}
    assert missing.summarise() == "3 of 3 trials done, 2 done without a value of test_loss"
    lacking = list_missing_trials(study, missing).set_index("key")
    assert lacking["sparsities"].to_dict() == {diverged: [0.5], iterated: [0.36]}
    assert set(lacking["reason"]) == {"done, but without a value of test_loss"}
    assert not missing.open
    assert find_missing_trials(study, "test_top1").summarise() == "3 of 3 trials done"
