"""Published numbers beside ours, as a table."""

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_decimal
from analysis.metrics import Metric
from analysis.series import format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.published import (
    PublishedComparison,
    PublishedNumber,
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
    """One row per published number and setting it can be compared in; no row where the study file
    names none."""
    parts = [
        (of_metric.metric, pair)
        for of_metric in collect_published_metrics(results)
        for pair in compare_published(of_metric)
    ]
    body = [_write_row(pair, metric) for metric, pair in parts]
    head: tuple[str, ...] = HEAD
    caption = (
        f"Published numbers and ours, mean over seeds with its {100 * CONFIDENCE:g} % interval; "
        "difference: ours less the published number."
    )
    if len({row[3] for row in body}) == 1:
        caption = f"{capitalise(body[0][3])}. {caption}"
        head, body = _drop_metric(head), [_drop_metric(row) for row in body]
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


def _write_row(pair: PublishedComparison, metric: Metric) -> tuple[str, ...]:
    number, match = pair.published, pair.ours
    sparsity = format_sparsity(number.sparsity)
    first = (match.place, match.method, number.source, metric.heading)
    if match.cell is None or pair.difference is None:
        return (*first, sparsity, _write_number(number), "not run", "0", NOTHING)
    if abs(match.cell.place - number.sparsity) > SHIFT:
        sparsity += f" (ours {100 * match.cell.place:.2f})"
    signed = format_decimal(pair.difference, metric.decimals, sign=True)
    return (
        *first,
        sparsity,
        _write_number(number),
        format_cell(match.cell, metric),
        str(match.cell.n),
        signed,
    )


def _write_number(number: PublishedNumber) -> str:
    """The number as published, with its spread and n where the source gives them."""
    spread = "" if number.spread is None else f" ± {number.spread:g}"
    about = [number.spread_is or "", f"n {number.n}" if number.n else ""]
    words = ", ".join(word for word in about if word)
    return f"{number.value:g}{spread}" + (f" ({words})" if words else "")


def _drop_metric(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row without its fourth cell."""
    return (*row[:3], *row[4:])
