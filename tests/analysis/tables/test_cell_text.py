"""Numbers and epochs as the text of a cell."""

import pandas as pd

from analysis.tables.cell_text import explain_cells, format_epochs, format_number


def test_numbers_as_words() -> None:
    assert [format_number(value, 1e-6, 2) for value in (2_223, 77_754, 11_173_962, 0, None)] == [
        *("0.00222", "0.0778", "11.17", "0.00", "–"),
    ]
    epochs = [[18.0], [24.0, 72.0], [12.0, float("nan")], []]
    assert [format_epochs(values) for values in epochs] == ["18", "24 to 72", "–", "–"]


def test_an_infinite_mean_is_explained() -> None:
    cells = pd.DataFrame({"n": [3, 3], "expected": [3, 3], "mean": [0.2, 0.4]})
    assert "inf" not in explain_cells(cells)
    diverged = explain_cells(cells.assign(mean=[0.2, float("inf")]))
    assert diverged.endswith("; inf: infinite with some seed, so without interval and test.")
