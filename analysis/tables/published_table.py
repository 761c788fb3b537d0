"""Published numbers beside ours, as a table."""

import pandas as pd

from analysis.captions import NOTHING, capitalise
from analysis.metrics import Metric
from analysis.series import format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.published import (
    PublishedComparison,
    collect_published_metrics,
    compare_published,
)
from analysis.statistics.results import Results
from analysis.tables.cell_text import format_cell
from analysis.tables.table import Table

HEAD = (
    "Network",
    "Method",
    "Source",
    "Metric",
    "Sparsity (%)",
    "Published",
    "Ours",
    "n",
    "Difference",
)


def make_published_table(results: Results) -> Table:
    """One line per published number and setting it can be compared in; no line where the study file
    names none."""
    parts = [
        (one.metric, pair)
        for one in collect_published_metrics(results)
        for pair in compare_published(one)
    ]
    body = [_write_line(pair, metric) for metric, pair in parts]
    head: tuple[str, ...] = HEAD
    caption = f"Published numbers and ours, mean over seeds ± half width of the {100 * CONFIDENCE:g} % Student t-interval; "
    caption += "difference: ours less the published number."
    if len({line[3] for line in body}) == 1:
        caption = f"{capitalise(body[0][3])}. {caption}"
        head, body = _drop_metric(head), [_drop_metric(line) for line in body]
    raw = pd.DataFrame([pair.to_row() for _, pair in parts])
    return Table(
        "published",
        "Published and ours",
        caption,
        head,
        tuple(body),
        len(head) - 5,
        frozenset(),
        raw,
    )


def _write_line(pair: PublishedComparison, metric: Metric) -> tuple[str, ...]:
    one, match = pair.published, pair.ours
    sparsity = format_sparsity(one.sparsity)
    first = (match.place, match.method, one.source, metric.heading)
    if match.cell is None or pair.difference is None:
        return (*first, sparsity, f"{one.value:g}", "not run", "0", NOTHING)
    if abs(match.cell.place - one.sparsity) > SHIFT:
        sparsity += f" (ours {100 * match.cell.place:.2f})"
    signed = f"{pair.difference:+.{metric.decimals}f}"
    return (
        *first,
        sparsity,
        f"{one.value:g}",
        format_cell(match.cell, metric),
        str(match.cell.n),
        signed,
    )


def _drop_metric(line: tuple[str, ...]) -> tuple[str, ...]:
    """A line without its fourth cell."""
    return (*line[:3], *line[4:])
