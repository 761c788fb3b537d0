"""Words that figures, tables and report share: captions with n, interval, data set and commit;
numbers as text."""

import re
from collections.abc import Sequence

import pandas as pd

from analysis.metrics import Metric
from analysis.series import Setting
from analysis.statistics.intervals_and_tests import LEVEL
from analysis.statistics.results import Results

NOTHING = "–"


def format_counts(counts: Sequence[int]) -> str:
    """The numbers of seeds of some cells, as `n = 3` or `n = 2 to 3`; cells without a value do not
    count."""
    found = sorted({count for count in counts if count})
    return (
        f"n = {found[0]}"
        if len(found) == 1
        else f"n = {found[0]} to {found[-1]}"
        if found
        else "n = 0"
    )


def format_interval(mean: float, half: float | None, decimals: int, *, sign: bool = False) -> str:
    """`mean ± half width`; without an interval only the mean, without a mean a dash."""
    if pd.isna(mean):
        return NOTHING
    text = f"{round(mean, decimals) + 0.0:{'+' if sign else ''}.{decimals}f}".replace("-", "−")
    return text if pd.isna(half) else f"{text} ± {half:.{decimals}f}"


def format_p(p: float) -> str:
    """A p-value with as many decimals as it needs."""
    if pd.isna(p):
        return NOTHING
    return (
        "< 0.0001"
        if p < 1e-4
        else f"{p:.4f}"
        if p < 1e-3
        else f"{p:.3f}"
        if p < 0.1
        else f"{p:.2f}"
    )


def describe_figure(
    results: Results, setting: Setting | None, remarks: Sequence[str], *, intervals: bool = True
) -> tuple[str, str]:
    """The caption of a figure, and the same without the data set, which its title names, for the
    figure's foot."""
    cells = results.of(setting)
    counts = format_counts(cells["n"].tolist())
    parts = (
        [f"intervals: {100 * LEVEL:g} % Student t over seeds"]
        if intervals and (cells["n"] > 1).any()
        else []
    )
    parts += ["no interval where n = 1"] if intervals and (cells["n"] == 1).any() else []
    text = "; ".join(part for part in (*parts, *remarks, describe_commits(results)) if part)
    settings = [setting] if setting else list(results.settings)
    where = "; ".join(one.label for one in settings)
    caption = f"{capitalise(results.metric.heading)}, {where}, {counts}. {capitalise(text)}."
    return caption, f"study {results.study.name}: {counts}; {text}"


def tell_places(cells: pd.DataFrame) -> list[str]:
    """A remark for figures where some points do not stand at a requested sparsity."""
    if not (cells["sparsity"].isna() | (cells["place"] != cells["sparsity"])).any():
        return []
    return ["points stand at the sparsity reached where it is not the requested one"]


def describe_commits(results: Results) -> str:
    """What code the numbers were measured with."""
    commits = results.commits
    if not commits:
        return ""
    return (
        f"commit {commits[0]}"
        if len(commits) == 1
        else f"commits {', '.join(commits[:3])}"
        + (f" and {len(commits) - 3} more" if len(commits) > 3 else "")
    )


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
    return (
        f"{seconds / divisor:.3g} {unit}"
        if seconds / divisor < 1000
        else f"{seconds / divisor:,.0f} {unit}"
    )
