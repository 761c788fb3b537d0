"""Numbers and epochs as the text of a cell."""

from analysis.tables.cell_text import format_epochs, format_number


def test_numbers_as_words() -> None:
    assert [format_number(value, 1e-6, 2) for value in (2_223, 77_754, 11_173_962, 0, None)] == [
        *("0.00222", "0.0778", "11.17", "0.00", "–"),
    ]
    epochs = [[18.0], [24.0, 72.0], [12.0, float("nan")], []]
    assert [format_epochs(values) for values in epochs] == ["18", "24 to 72", "–", "–"]
