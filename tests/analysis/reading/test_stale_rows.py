"""Rows of an earlier content of a user's own method are left out, and the report says so."""

import pandas as pd

from analysis.reading.stale_rows import drop_outdated

BASE = "python 3.11.7, torch 2.15.0, ray 2.60.0"
OLD, NEW = "0" * 12, "1" * 12


def rows(*found: tuple[str, str | None, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"key": key, "versions": versions, "finished": finished}
            for key, versions, finished in found
        ]
    )


def test_the_planned_content_is_kept_even_if_another_ran_later() -> None:
    found = rows(("a", f"{BASE}, mine sha256:{OLD}", "2026-01-02"), ("b", f"{BASE}, mine sha256:{NEW}", "2026-01-01"),
                 ("c", BASE, "2026-01-01"), ("d", None, "2026-01-01"))  # fmt: skip
    warnings: list[str] = []
    kept = drop_outdated(found, {"sources": {"mine": NEW + "2" * 52}}, warnings)
    assert list(kept["key"]) == ["b", "c", "d"] and list(kept.index) == [0, 1, 2]
    assert warnings == [
        "left out 1 trials of method 'mine' that ran with another content of its file"
    ]


def test_without_a_plan_the_last_content_is_kept_and_methods_do_not_mix() -> None:
    found = rows(("a", f"{BASE}, mine sha256:{OLD}", "2026-01-01"), ("b", f"{BASE}, mine sha256:{NEW}", "2026-01-02"),
                 ("c", f"{BASE}, other sha256:{OLD}", "2026-01-01"))  # fmt: skip
    for planned in (None, {}, {"sources": 3}):
        assert list(drop_outdated(found, planned, [])["key"]) == ["b", "c"]


def test_studies_without_own_methods_stay_as_they_are() -> None:
    found, warnings = rows(("a", BASE, "2026-01-01"), ("b", None, "2026-01-01")), list[str]()
    assert drop_outdated(found, None, warnings) is found and warnings == []
