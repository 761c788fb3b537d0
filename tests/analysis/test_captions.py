"""The words that figures, tables and report share."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.captions import (
    describe_commits,
    describe_positions,
    format_counts,
    format_duration,
    format_interval,
    format_p,
    name_figure,
    remark_outside,
)
from analysis.metrics import find_metric
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row


@pytest.mark.parametrize(
    ("p", "text"),
    [
        *((1e-5, "< 0.0001"), (5e-4, "0.0005"), (0.0123, "0.012"), (0.5, "0.50")),
        *((float("nan"), "–"), (0.0496, "0.0496"), (0.05004, "0.05004"), (0.05, "0.050")),
    ],
)
def test_a_p_value_has_the_decimals_it_needs(p: float, text: str) -> None:
    assert format_p(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.1551, "0.155 s"), (0.5, "0.5 s"), (99, "99 s"), (600, "10 min"), (7200, "2 h")),
        (4e7, "11,111 h"),
    ],
)
def test_a_duration_has_a_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_interval_has_signs_where_asked_for() -> None:
    assert format_interval(-0.001, -0.5, 0.61, 2, sign=True) == "+0.00 [−0.50, +0.61]"
    assert format_interval(-1.5, None, float("nan"), 2) == "−1.50"
    assert format_interval(float("nan"), 0.0, 1.0, 2) == "–"


def test_positions_are_remarked_on_where_one_is_not_the_requested_sparsity() -> None:
    nan = float("nan")
    exact = pd.DataFrame({"sparsity": [0.5, 0.9], "place": [0.5, 0.9]})
    assert describe_positions(exact.assign(sparsity_reached=exact["place"])) == []
    emptied = exact.assign(sparsity_reached=[0.5, 1.0], place=[0.5, nan])
    assert describe_positions(emptied)[1:] == ["1 without any weight left: no place on the axis"]
    for sparsity, place in ((0.5, 0.52), (nan, 0.4), (nan, nan)):
        cells = pd.DataFrame({"sparsity": [0.9, sparsity], "place": [0.9, place]})
        cells["sparsity_reached"] = cells["place"]
        assert len(describe_positions(cells)) == 1


def test_commits_are_named_and_many_counted(tmp_path: Path) -> None:
    for count, text in ((1, "commit c0"), (2, "commits c0, c1"), (5, "c0, c1, c2 and 2 more")):
        writer = Writer(tmp_path / str(count))
        for seed in range(count):
            writer.add([make_row("magnitude", 0.5, seed, commit=f"c{seed}")])
        assert describe_commits(collect_results(load_study(writer.finish()))).endswith(text)


def test_the_usual_metric_is_not_named_in_file_names(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    (setting,) = results.settings
    assert name_figure("cost", results.metric, setting) == "cost-cifar10-resnet18"
    loss = find_metric("test_loss", results.study.rows)
    assert name_figure("cost", loss, setting, "2") == "cost-test-loss-cifar10-resnet18-2"


def test_counts() -> None:
    assert format_counts([3, 3, 0]) == "n = 3"
    assert format_counts([2, 3, 5]) == "n = 2 to 5"
    assert format_counts([0]) == "n = 0"


def test_what_lies_outside_a_frame_is_counted() -> None:
    told = [*remark_outside(0, "point"), *remark_outside(1, "point"), *remark_outside(2, "result")]
    assert told == ["1 point lies outside the frame", "2 results lie outside the frame"]
