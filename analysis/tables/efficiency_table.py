"""What networks cost: accuracy beside parameters, sizes on disk, MACs and, where it was measured,
latency."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.captions import capitalise
from analysis.statistics.results import Results
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_cell,
    format_number,
    format_place,
    head_setting,
    write_rows,
)
from analysis.tables.table import Table

BITMASK = 1 / 8  # bytes that say of one weight whether it is there


@dataclass(frozen=True)
class Column:
    """One column of costs: where it comes from, what multiplies it, its decimals, and what the
    caption says of it."""

    source: str
    title: str
    factor: float
    decimals: int
    remark: str = ""


COLUMNS = (
    Column("test_top5", "Top-5 (%)", 1.0, 2),
    Column("params", "Params (M)", 1e-6, 3),
    Column("prunable", "Prunable (M)", 1e-6, 3, "prunable: the parameters that sparsity is of"),
    Column("nonzero", "Nonzero (M)", 1e-6, 3),
    Column("bytes", "Size (MB)", 1e-6, 2, "a MB is a million bytes"),
    Column(
        "sparse_bytes", "Sparse (MB)", 1e-6, 2, "sparse: the nonzero parameters and a bit for each"
    ),
    Column("macs", "MACs (M)", 1e-6, 2),
    Column(
        "effective_macs", "Eff. MACs (M)", 1e-6, 2, "effective MACs weigh each layer by its density"
    ),
    Column(
        "latency_ms_b1",
        "Latency b1 (ms)",
        1.0,
        3,
        "b1, b256: at batch 1 and 256, alone on the device",
    ),
    Column("speedup_b1", "Speed-up b1", 1.0, 2),
    Column("latency_ms_b256", "Latency b256 (ms)", 1.0, 2),
    Column(
        "speedup_b256",
        "Speed-up b256",
        1.0,
        2,
        "speed-up: the dense network's latency over this one's",
    ),
)


def make_efficiency_table(results: Results) -> Table:
    """One row per setting, series and sparsity; columns of which nothing was measured are left
    out."""
    cells = results.cells.assign(sparse_bytes=_estimate_sparse(results.cells))
    shown = [
        column
        for column in COLUMNS
        if column.source in cells.columns
        and cells[column.source].notna().any()
        and column.source != results.metric.column
    ]

    def write(cell: Any) -> list[str]:
        first = [cell.series, format_place(cell), format_cell(cell, results.metric), str(cell.n)]
        return first + [
            format_number(getattr(cell, column.source), column.factor, column.decimals)
            for column in shown
        ]

    body, rules = write_rows(results, cells, write)
    head = (
        *head_setting(results),
        "Method",
        "Sparsity (%)",
        capitalise(results.metric.heading),
        "n",
        *(column.title for column in shown),
    )
    remarks = "; ".join(column.remark for column in shown if column.remark)
    caption = f"{begin_caption(results)} {explain_cells(cells)} {capitalise(remarks)}.".replace(
        " .", ""
    )
    raw = cells.drop(columns=["setting_index", "series_index", "code"])
    return Table(
        "efficiency",
        "Efficiency",
        caption,
        head,
        tuple(body),
        len(head_setting(results)) + 1,
        rules,
        raw,
    )


def _estimate_sparse(cells: pd.DataFrame) -> pd.Series:
    """Bytes of a network that is stored as its nonzero parameters and a bit for each parameter,
    what else it has in full; as it is where nothing is zero."""
    zeros = (cells["params"] - cells["nonzero"]).astype(float)
    packed = cells["bytes"].astype(float) - 4 * zeros + BITMASK * cells["params"].astype(float)
    return packed.where(zeros > 0, cells["bytes"].astype(float)).where(zeros.notna())
