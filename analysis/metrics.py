"""The columns of the rows that can stand on a y axis or in a cell: names for readers, units,
decimals."""

from dataclasses import dataclass

import pandas as pd

from analysis.columns import IDENTITY, LATENCY_COLUMNS
from pruning.user_error import nearest
from trainables.storage.schema import ROW_SCHEMA


@dataclass(frozen=True)
class Metric:
    """One numeric column of the rows. `title` is for axis labels and headings, `unit` may be empty;
    `higher` says whether more is better."""

    column: str
    title: str
    unit: str
    decimals: int
    higher: bool = True

    @property
    def heading(self) -> str:
        """Title and unit, e.g. `test top-1 accuracy (%)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


KNOWN_METRICS = {
    metric.column: metric
    for metric in (
        Metric("test_top1", "test top-1 accuracy", "%", 2),
        Metric("test_top5", "test top-5 accuracy", "%", 2),
        Metric("val_top1", "validation top-1 accuracy", "%", 2),
        Metric("best_epoch_test_top1", "best-epoch test top-1 accuracy", "%", 2),
        Metric("early_stop_test_top1", "test top-1 accuracy at early stopping", "%", 2),
        Metric("early_stop_iteration", "iteration of early stopping", "", 0, higher=False),
        Metric("early_stop_val_loss", "validation loss at early stopping", "nats", 4, higher=False),
        Metric("test_loss", "test loss", "nats", 4, higher=False),
        Metric("latency_ms_b1", "latency at batch 1", "ms", 3, higher=False),
        Metric(
            "latency_iqr_ms_b1",
            "interquartile range of the latency at batch 1",
            "ms",
            3,
            higher=False,
        ),
        Metric("speedup_b1", "speed-up at batch 1", "x", 2),
        Metric("latency_ms_b256", "latency at batch 256", "ms", 3, higher=False),
        Metric(
            "latency_iqr_ms_b256",
            "interquartile range of the latency at batch 256",
            "ms",
            3,
            higher=False,
        ),
        Metric("speedup_b256", "speed-up at batch 256", "x", 2),
        Metric("train_seconds", "training time", "s", 0, higher=False),
    )
}


def find_metric(name: str, rows: pd.DataFrame) -> Metric:
    """The metric of that name.

    Raises:
        ValueError: the rows have no such numeric column, or it is empty so far.
    """
    numeric = [column for column in rows.columns if column not in IDENTITY and _is_numeric(column)]
    if name not in numeric:
        raise ValueError(f"no metric '{name}'{nearest(name, numeric)}")
    if len(rows) and rows[name].notna().sum() == 0:
        filled = [column for column in KNOWN_METRICS if rows[column].notna().any()]
        raise ValueError(f"no row has a value of '{name}' yet; there are: {', '.join(filled)}")
    return KNOWN_METRICS.get(name, Metric(name, name.replace("_", " "), "", 3))


def _is_numeric(column: str) -> bool:
    return column in LATENCY_COLUMNS or str(ROW_SCHEMA.field(column).type) in {"double", "int64"}
