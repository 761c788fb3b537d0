"""Which series share a picture: all where they are few, else an overview and one picture per family."""

from dataclasses import dataclass

from analysis.looks import FAMILIES
from analysis.series import Series, rank_stage

MOST = 8  # series, the dense one included, that can be told apart in one picture with bands


@dataclass(frozen=True)
class View:
    """One picture. `slug` ends its file name and is empty for the first one; `quiet` series are drawn without bands and
    seed marks, of those `references` thin, for comparison; with `headings` the legend names families."""

    slug: str
    title: str
    series: tuple[Series, ...]
    quiet: frozenset[Series] = frozenset()
    references: frozenset[Series] = frozenset()
    headings: bool = False


def find_views(series: list[Series]) -> list[View]:
    """The pictures of the series of one setting, the one to look at first in front.

    Up to `MOST` series make one picture. More make an overview, with the last stage of every method as a plain line,
    and a picture of each family beside the dense network and magnitude (random in the family of magnitude itself); in a
    large family only the last stages have bands.
    """
    if len(series) <= MOST:
        return [View("", "", tuple(series))]
    last = tuple(one for one in series if one == _find_last(series, one))
    views = [View("", "all methods", last, frozenset(last), headings=True)]
    for family, title in FAMILIES.items():
        members = [one for one in series if one.family == family]
        if members:
            aside = [one for name in ("magnitude", "random") for one in last if one.method == name]
            references = [one for one in aside if one.family != family][:1]
            shown = [one for one in series if one.method == "dense"] + references + members
            early = [one for one in members if one not in last] if len(members) > MOST else []
            quiet = frozenset([*references, *early])
            views.append(View(family, title.lower(), tuple(shown), quiet, frozenset(references)))
    return views


def _find_last(series: list[Series], one: Series) -> Series:
    """The series of the same method and knobs at the last of its stages."""
    same = [other for other in series if (other.method, other.knobs) == (one.method, one.knobs)]
    return max(same, key=lambda other: rank_stage(other.stage))
