"""Pareto fronts: the results that are more accurate than everything that costs as little."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.series import Setting
from analysis.statistics.results import Results


@dataclass(frozen=True)
class Cost:
    """A cost that should be low: a column, its name for readers, and the factor to its unit."""

    column: str
    title: str
    factor: float


COSTS = (
    Cost("effective_macs", "effective MACs (M)", 1e-6),
    Cost("nonzero", "nonzero parameters (M)", 1e-6),
    Cost("latency_ms_b1", "latency at batch 1 (ms)", 1.0),
    Cost("latency_ms_b256", "latency at batch 256 (ms)", 1.0),
    Cost("train_seconds", "training of the trial (s)", 1.0),
)


def find_pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Which points are on the front: no other costs as little and gains as much, one of the two
    strictly better."""
    on = np.zeros(len(cost), dtype=bool)
    best = -np.inf
    order = np.lexsort((-gain, cost))
    for price in dict.fromkeys(cost[order]):
        same = order[cost[order] == price]
        top = gain[same].max()
        if top > best:
            on[same[gain[same] == top]] = True
            best = top
    return on


def find_results_with_cost(
    results: Results, setting: Setting, cost: Cost, *, positive: bool = False
) -> pd.DataFrame:
    """The measured results of a setting with a cost, the dense network included: the columns of
    cells, `cost` and `front` (whether it is on the Pareto front); the cheapest first. Empty where
    the cost was not measured.

    With `positive`, only those that cost something, as a logarithmic axis shows them: a network in
    which no weight is left has no effective MACs.
    """
    cells = results.cells_of(setting)
    is_last = cells["series_index"].isin(results.list_last_stages(dense=True))
    cells = cells[is_last & (cells["n"] > 0)]
    if cost.column not in cells.columns:
        return cells.head(0)
    cells = cells.assign(cost=cells[cost.column].astype(float) * cost.factor)
    cells = cells[cells["cost"] > 0] if positive else cells.dropna(subset=["cost"])
    gain = cells["mean"].to_numpy(dtype=float) * (1 if results.metric.higher else -1)
    front = find_pareto_front(cells["cost"].to_numpy(), gain)
    return cells.assign(front=front).sort_values(["cost", "mean"])
