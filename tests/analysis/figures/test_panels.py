"""Which series share a panel, and which panels share a page."""

from collections.abc import Iterator

import pandas as pd
import pytest

from analysis.figures.panels import MOST, PanelGroup, group_into_panels, split_into_pages
from analysis.series import find_series
from tests.analysis.figures.labels import MANY
from tests.analysis.synthetic import make_row


def make_series(
    *methods: str, stages: tuple[str, ...] = ("final",), knobs: int = 1
) -> Iterator[dict[str, object]]:
    for method in methods:
        for number in range(knobs):
            for stage in stages:
                yield make_row(
                    method, 0.5, 1, stage=stage, knobs=f'{{"k": {number}}}' if number else "{}"
                )


def test_panels_hold_every_series_once() -> None:
    for rows in (
        make_series("dense", *MANY),
        make_series("dense", "wanda", "obc", "random", knobs=30),
    ):
        series = find_series(pd.DataFrame(list(rows)))
        groups = group_into_panels(series)
        shown = [one_series for group in groups for one_series in group.series]
        assert sorted(one_series.label for one_series in shown) == sorted(
            one_series.label for one_series in series if one_series.method != "dense"
        )
        assert all(len(group.series) <= MOST for group in groups)
        for group in groups:
            assert not set(group.context) & {*group.series, *group.references}


def test_early_stages_of_a_large_family_are_quiet() -> None:
    stages = ("raw", "recalibrated", "finetuned")
    rows = make_series("dense", "wanda", "obc", "sparsegpt", "magnitude_post", stages=stages)
    groups = group_into_panels(find_series(pd.DataFrame(list(rows))))
    assert {one.stage for group in groups for one in group.quiet} == {"raw", "recalibrated"}
    few = group_into_panels(
        find_series(pd.DataFrame(list(make_series("wanda", stages=("raw", "recalibrated")))))
    )
    assert [len(group.series) for group in few] == [2] and not few[0].quiet


@pytest.mark.parametrize("least", [[1.2] * 3, [1.2] * 9, [2.0, 4.5, 1.0, 6.0], [12.0]])
def test_pages_hold_every_panel_in_order_and_none_is_too_high(least: list[float]) -> None:
    groups = [PanelGroup(str(number), ()) for number in range(len(least))]
    wanted = [height + 0.8 for height in least]
    pages = split_into_pages(groups, wanted, least, room=9.0, between=0.3)
    assert [group for page in pages for group in page.groups] == groups
    for page in pages:
        total = sum(page.heights) + 0.3 * (len(page.heights) - 1)
        assert total <= 9.0 + 1e-9 or len(page.groups) == 1
    heights = [height for page in pages for height in page.heights]
    assert all(height >= low - 1e-9 for height, low in zip(heights, least, strict=True))
