"""A table as CSV, Markdown and text; as LaTeX it is in `test_latex.py`."""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.tables.table import Table
from tests.analysis.tables.small_study import make_small_study, make_tables


def test_csv_is_the_numbers(tmp_path: Path) -> None:
    study = make_small_study(tmp_path)
    efficiency, _ = make_tables(study)
    first = next(csv.DictReader(io.StringIO(efficiency.to_csv())))
    assert float(first["mean"]) == 93.5
    assert 0 < float(first["low"]) < 93 < 94 < float(first["high"]) < 100
    assert float(first["half_width"]) == pytest.approx(12.706204736432095 / 2), "Student's t"
    assert (first["n"], float(first["expected"])) == ("2", 3.0)
    assert float(first["bytes"]) == 40_000_000
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(efficiency.to_csv()))[["mean", "sparsity"]],
        efficiency.raw[["mean", "sparsity"]],
    )


def test_markdown_is_rectangular(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    for table in (efficiency, accuracy):
        lines = table.to_markdown().split("\n\n")[0].splitlines()
        assert {line.count("|") for line in lines} == {len(table.head) + 1}
        assert len({len(line) for line in lines}) == 1
        assert len(lines) == 2 + len(table.cells)
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_bold_in_every_form() -> None:
    cells = (("a", "1"), ("b", "2"))
    table = Table(
        "t", "T", "C", ("M", "V"), cells, 1, frozenset(), pd.DataFrame(), frozenset({(1, 1)})
    )
    assert table.to_text().splitlines()[-1] == "b  2*"
    assert "| b   | **2** |" in table.to_markdown()
    assert r"b & \textbf{2} \\" in table.to_latex()
