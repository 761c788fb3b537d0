"""Which series share a panel: all where they are few, else a panel for each family, the rest in
grey behind it."""

from dataclasses import dataclass, replace

from analysis.method_styles import FAMILIES
from analysis.series import Series, rank_stage

MOST = 8  # series, the dense one apart, that can be told apart in one panel with bands
PANELS = 5  # that fit on a page


@dataclass(frozen=True)
class View:
    """One panel. `quiet` series (early stages of a large family) are drawn without bands and seed
    marks; `references` (magnitude) thin, for comparison; `context` in grey without a name."""

    title: str
    series: tuple[Series, ...]
    quiet: frozenset[Series] = frozenset()
    references: tuple[Series, ...] = ()
    context: tuple[Series, ...] = ()


def find_views(shown: list[Series]) -> list[View]:
    """The panels of the series of one setting, without the dense one; none where there is no other.

    Up to `MOST` series make one panel. More make one per family, a large family several.
    """
    series = [one for one in shown if one.method != "dense"]
    if not series:
        return []
    if len(series) <= MOST:
        return [View("", tuple(series))]
    last = [one for one in series if one == _find_last(series, one)]
    views = []
    for family, title in FAMILIES.items():
        members = [one for one in series if one.family == family]
        for number, part in enumerate(parts := _split(members)):
            aside = [
                one
                for one in last
                if one.method == "magnitude" and one.variant == 0 and one not in part
            ]
            context = tuple(one for one in last if one not in part and one not in aside)
            quiet = (
                frozenset(one for one in part if one not in last)
                if len(members) > MOST
                else frozenset()
            )
            view = View(title, part, quiet, tuple(aside[:1]), context)
            views.append(
                replace(view, title=f"{title} ({number + 1} of {len(parts)})")
                if len(parts) > 1
                else view
            )
    return views


def find_pages(views: list[View]) -> list[list[View]]:
    """The panels of each figure."""
    return [views[start : start + PANELS] for start in range(0, len(views), PANELS)]


def _split(members: list[Series]) -> list[tuple[Series, ...]]:
    """Parts of a family of at most `MOST` last stages; the stages of one method stay together."""
    parts: list[list[Series]] = []
    count = 0
    for one in members:
        is_last = one == _find_last(members, one)
        first = not parts or (one.method, one.knobs) != (parts[-1][-1].method, parts[-1][-1].knobs)
        if not parts or (first and count >= MOST):
            parts.append([])
            count = 0
        parts[-1].append(one)
        count += is_last
    return [tuple(part) for part in parts]


def _find_last(series: list[Series], one: Series) -> Series:
    """The series of the same method and knobs at the last of its stages."""
    same = [other for other in series if (other.method, other.knobs) == (one.method, one.knobs)]
    return max(same, key=lambda other: rank_stage(other.stage))
