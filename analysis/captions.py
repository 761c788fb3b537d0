"""The words that figures, tables and report share: captions with n, interval, data set and commit,
and numbers as text."""

import re
from collections.abc import Sequence

import pandas as pd

from analysis.metrics import Metric
from analysis.series import Setting
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results
from pruning.user_error import list_some

NOTHING = "–"
LIMIT = round(1 - CONFIDENCE, 9)  # of p-values: what is below it is called separable
# What intervals are; docs/decisions/0015 has the model.
INTERVALS = f"{100 * CONFIDENCE:g} % intervals over seeds, variances shared across the setting"


def format_counts(counts: Sequence[int]) -> str:
    """The numbers of seeds of some cells, as `n = 3` or `n = 2 to 3`; cells without a value do not
    count."""
    known = sorted({count for count in counts if count})
    if not known:
        return "n = 0"
    return f"n = {known[0]}" if len(known) == 1 else f"n = {known[0]} to {known[-1]}"


def remark_outside(outside: int, noun: str) -> list[str]:
    """That so many results or points of a figure lie outside its frame; nothing where none does."""
    if not outside:
        return []
    return [f"{outside} {noun}{' lies' if outside == 1 else 's lie'} outside the frame"]


def format_interval(
    mean: float,
    low: float | None,
    high: float | None,
    decimals: int,
    *,
    sign: bool = False,
) -> str:
    """`mean [low, high]`; without an interval only the mean, without a mean a dash.

    The one form of all intervals: those of accuracies are not symmetric, so `±` would be wrong, and
    in brackets both ends can be read off without arithmetic.
    """
    if pd.isna(mean):
        return NOTHING
    if pd.isna(low) or pd.isna(high):
        return format_decimal(mean, decimals, sign=sign)
    ends = (
        format_decimal(float(end), decimals, sign=sign) for end in (low, high) if end is not None
    )
    return f"{format_decimal(mean, decimals, sign=sign)} [{', '.join(ends)}]"


def format_decimal(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number with so many decimals, a true minus sign, and no negative zero."""
    rounded = round(float(value), decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def format_p(p: float) -> str:
    """A p-value with as many decimals as it needs: one that is not 0.05 never reads so."""
    if pd.isna(p):
        return NOTHING
    if p < 1e-4:
        return "< 0.0001"
    decimals = 4 if p < 1e-3 else 3 if p < 0.1 else 2
    while round(p, decimals) == LIMIT != p and decimals < 9:
        decimals += 1
    return f"{p:.{decimals}f}"


def describe_figure(
    results: Results, setting: Setting | None, remarks: Sequence[str], *, intervals: bool = True
) -> tuple[str, str]:
    """The caption of a figure, and the same without the data set, which its title names, for the
    figure's foot."""
    cells = results.cells_of(setting)
    counts = format_counts(cells["n"].tolist())
    parts = [INTERVALS] if intervals and (cells["n"] > 1).any() else []
    parts += ["no interval where n = 1"] if intervals and (cells["n"] == 1).any() else []
    text = "; ".join(part for part in (*parts, *remarks, describe_commits(results)) if part)
    settings = [setting] if setting else list(results.settings)
    where = "; ".join(one_setting.label for one_setting in settings)
    caption = f"{capitalise(results.metric.heading)}, {where}, {counts}. {capitalise(text)}."
    return caption, f"study {results.study.name}: {counts}; {text}"


def describe_positions(cells: pd.DataFrame) -> list[str]:
    """Remarks for figures where some points do not stand at a requested sparsity, or nowhere."""
    at_requested = cells["sparsity"].notna() & (cells["place"] == cells["sparsity"])
    remarks = ["points stand at the sparsity reached where it is not the requested one"]
    remarks = [] if at_requested.all() else remarks
    emptied = int((cells["sparsity_reached"] >= 1).sum())
    return [
        *remarks,
        *([f"{emptied} without any weight left: no place on the axis"] if emptied else []),
    ]


def describe_commits(results: Results) -> str:
    """What code the numbers were measured with."""
    commits = [commit for commit in results.commits if commit]
    if len(commits) < 2:
        return f"commit {commits[0]}" if commits else "commit unknown"
    return f"commits {list_some(commits)}"


def capitalise(text: str) -> str:
    """A text that begins a sentence or a heading."""
    return text[:1].upper() + text[1:]


def name_figure(kind: str, metric: Metric, setting: Setting | None, part: str = "") -> str:
    """The file name of a figure, without ending; the usual metric is not named."""
    shown = "" if metric.column == "test_top1" else metric.column
    name = "-".join(filter(None, (kind, shown, setting.slug if setting else "", part)))
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).replace("_", "-")


def format_duration(seconds: float) -> str:
    """A duration with two or three digits that count."""
    divisor, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "h")
    amount = seconds / divisor
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:,.0f} {unit}"
