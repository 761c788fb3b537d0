"""Which series share a panel: all where they are few, else those of a family, the rest in grey
behind them; and which panels share a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.method_styles import FAMILIES
from analysis.series import Series, rank_stage

MOST = 8  # series, the dense one apart, that can be told apart in one panel with bands
LEAST_HEIGHT = 1.05  # inches below which a panel cannot be read


@dataclass(frozen=True)
class PanelGroup:
    """The series of one panel. `quiet` series (early stages of a large family) are drawn without
    bands and seed marks; `references` (magnitude) thin, for comparison; `context` in grey without a
    name."""

    title: str
    series: tuple[Series, ...]
    quiet: frozenset[Series] = frozenset()
    references: tuple[Series, ...] = ()
    context: tuple[Series, ...] = ()


@dataclass(frozen=True)
class FigurePage:
    """The panels of one figure, from top to bottom, with their heights in inches."""

    groups: tuple[PanelGroup, ...]
    heights: tuple[float, ...]


def group_into_panels(shown: list[Series]) -> list[PanelGroup]:
    """The panels of the series of one setting, without the dense one; none where there is no other.

    Up to `MOST` series make one panel. More make one per family, a large family several.
    """
    pruned = [series for series in shown if series.method != "dense"]
    if not pruned:
        return []
    if len(pruned) <= MOST:
        return [PanelGroup("", tuple(pruned))]
    last = [series for series in pruned if series == _find_last_stage(pruned, series)]
    groups = []
    for family, title in FAMILIES.items():
        members = [series for series in pruned if series.family == family]
        parts = _split_family(members)
        for number, part in enumerate(parts):
            numbered = f"{title} ({number + 1} of {len(parts)})" if len(parts) > 1 else title
            group = _make_group(numbered, part, last)
            if len(members) > MOST:
                early = frozenset(series for series in part if series not in last)
                group = replace(group, quiet=early)
            groups.append(group)
    return groups


def _make_group(title: str, part: tuple[Series, ...], last: list[Series]) -> PanelGroup:
    """The panel of some series, with magnitude and all other methods for comparison."""
    references = [
        series
        for series in last
        if series.method == "magnitude" and series.variant == 0 and series not in part
    ]
    context = tuple(series for series in last if series not in part and series not in references)
    return PanelGroup(title, part, frozenset(), tuple(references[:1]), context)


def split_into_pages(
    groups: Sequence[PanelGroup],
    wanted: Sequence[float],
    least: Sequence[float],
    *,
    room: float,
    between: float,
) -> list[FigurePage]:
    """The panels on as few pages as possible, none higher than `room`.

    Args:
        wanted: the height of each panel where there is enough room.
        least: the height that it must have, such as that of its legend.
        between: what lies between two panels.
    """
    pages: list[list[int]] = []
    filled = 0.0
    for index, height in enumerate(least):
        needed = max(height, LEAST_HEIGHT)
        if not pages or filled + between + needed > room:
            pages.append([])
            filled = -between
        pages[-1].append(index)
        filled += between + needed
    return [
        FigurePage(
            tuple(groups[index] for index in page),
            _fit_heights(
                [wanted[index] for index in page],
                [max(least[index], LEAST_HEIGHT) for index in page],
                room - between * (len(page) - 1),
            ),
        )
        for page in pages
    ]


def _fit_heights(wanted: list[float], least: list[float], room: float) -> tuple[float, ...]:
    """Heights between the least and the wanted ones that fill at most the room."""
    wanted = [max(pair) for pair in zip(wanted, least, strict=True)]
    spare = room - sum(least)
    extra = sum(wanted) - sum(least)
    part = min(1.0, spare / extra) if extra > 0 and spare > 0 else float(extra <= 0)
    return tuple(low + part * (high - low) for high, low in zip(wanted, least, strict=True))


def _split_family(members: list[Series]) -> list[tuple[Series, ...]]:
    """Parts of a family of at most `MOST` last stages; the stages of one method stay together."""
    parts: list[list[Series]] = []
    count = 0
    before = None
    for series in members:
        is_first = (series.method, series.knobs) != before
        before = (series.method, series.knobs)
        if not parts or (is_first and count >= MOST):
            parts.append([])
            count = 0
        parts[-1].append(series)
        count += series == _find_last_stage(members, series)
    return [tuple(part) for part in parts]


def _find_last_stage(shown: list[Series], series: Series) -> Series:
    """The series of the same method and knobs at the last of its stages."""
    same = [
        other for other in shown if (other.method, other.knobs) == (series.method, series.knobs)
    ]
    return max(same, key=lambda other: rank_stage(other.stage))
