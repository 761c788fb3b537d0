"""Epochs in total: a trial's own, and those of the trainings it starts from."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.load import load_study
from analysis.statistics.training_budget import find_training_totals
from tests.analysis.synthetic import Writer, make_row


def test_the_dense_training_is_part_of_the_budget(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    dense = writer.add([make_row("dense", 0.0, 1, epochs=12, train_macs=100.0, train_seconds=3.0)])
    levels = [
        make_row(
            "lottery_ticket",
            s,
            1,
            level=n,
            epochs=12 * n,
            train_macs=90.0 * n,
            train_seconds=2.0 * n,
        )
        for n, s in ((1, 0.5), (2, 0.9))
    ]
    ticket = writer.add(levels, parents=[dense])
    writer.add([make_row("magnitude", 0.95, 1, epochs=6, train_macs=1.0)], parents=[ticket])
    writer.add([make_row("snip", 0.5, 1, epochs=12, train_macs=None)])
    study = load_study(writer.finish())
    totals = study.rows[["method", "level"]].join(find_training_totals(study))
    totals = totals.set_index(["method", "level"])
    assert totals["total_epochs"].to_dict() == {
        ("dense", 0): 12,
        ("lottery_ticket", 1): 24,
        ("lottery_ticket", 2): 36,
        ("magnitude", 1): 12 + 24 + 6,
        ("snip", 1): 12,
    }
    assert totals.loc[("magnitude", 1), "total_train_macs"] == pytest.approx(100 + 180 + 1)
    assert totals.loc[("lottery_ticket", 1), "total_train_seconds"] == 5.0
    assert np.isnan(totals.loc[("snip", 1), "total_train_macs"])


def test_what_is_not_known_has_no_total(tmp_path: Path) -> None:
    """Its dense training has no rows yet, or no plan says what it starts from."""
    writer = Writer(tmp_path)
    dense = writer.add([make_row("dense", 0.0, 1)], outcome="missing")
    writer.add([make_row("magnitude", 0.5, 1)], parents=[dense])
    writer.add([make_row("snip", 0.5, 1)], plan=False)
    study = load_study(writer.finish())
    assert find_training_totals(study)["total_epochs"].isna().all()
