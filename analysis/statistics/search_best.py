"""The best of a search: which candidate it is, and what it reached on the test set when it was
trained anew."""

import pandas as pd

from analysis.reading.search_data import Search
from analysis.statistics.intervals_and_tests import t_interval, wilson_interval


def rank(search: Search, sparsity: float) -> pd.DataFrame:
    """The candidates at a sparsity that were trained to the end and are not too costly, the best
    first."""
    here = search.at(sparsity)
    here = here[(here["outcome"] == "done") & here["val_top1"].notna()]
    objective = search.spec.get("objective")
    limit = objective.get("max_effective_macs") if isinstance(objective, dict) else None
    if isinstance(limit, int | float):
        here = here[here["effective_macs"] <= limit]
    return here.sort_values(["val_top1", "effective_macs", "number"], ascending=[False, True, True])


def is_front(search: Search) -> bool:
    """Whether the search looks for a Pareto front instead of one best."""
    objective = search.spec.get("objective")
    return isinstance(objective, dict) and bool(objective.get("pareto"))


def find_best(search: Search) -> pd.DataFrame:
    """The best candidates, by sparsity: one each, or the front, from accurate to cheap."""
    parts = []
    for sparsity in search.sparsities:
        ranked = rank(search, sparsity)
        if is_front(search):
            before = ranked["effective_macs"].cummin().shift(fill_value=float("inf"))
            parts.append(ranked[ranked["effective_macs"] < before])
        else:
            parts.append(ranked.head(1))
    return pd.concat(parts) if parts else search.candidates.head(0)


def find_confirmed(search: Search) -> pd.DataFrame:
    """What the best reached when it was trained anew with other seeds.

    Columns: `sparsity`, `knobs`, `recipe`, `mean`, `half_width` (null of one seed) and `n` of the
    test accuracy, and `val_mean`; where there is one line at a sparsity and one best, its
    dimensions, too.
    """
    columns = [
        "sparsity",
        "knobs",
        "recipe",
        "mean",
        "half_width",
        "n",
        "val_mean",
        *search.dimensions,
    ]
    if search.best is None:
        return pd.DataFrame(columns=columns)
    rows = search.best.rows
    rows = rows[(rows["method"] == search.spec.get("method")) & rows["test_top1"].notna()]
    rows = rows.sort_values(["key", "level"]).drop_duplicates("key", keep="last")
    chosen = find_best(search)
    lines = []
    for (sparsity, knobs, recipe), group in rows.groupby(
        ["sparsity", "knobs", "recipe"], dropna=False
    ):
        interval = t_interval(group["test_top1"].astype(float))
        line = {
            "sparsity": sparsity,
            "knobs": knobs,
            "recipe": recipe,
            "mean": interval.mean,
            "n": interval.n,
        }
        line |= {
            "half_width": interval.half_width,
            "val_mean": float(group["val_top1"].astype(float).mean()),
        }
        same = chosen[chosen["sparsity"] == sparsity]
        if (
            len(same) == 1
            and (rows.loc[rows["sparsity"] == sparsity, ["knobs", "recipe"]].nunique() == 1).all()
        ):
            line |= {name: same.iloc[0][name] for name in search.dimensions}
        lines.append(line)
    found = pd.DataFrame(lines, columns=columns)
    found["half_width"] = found["half_width"].astype(float)
    return found


def find_enough(search: Search, sparsity: float, name: str) -> pd.Series | None:
    """The candidate with the smallest value of a dimension that the best cannot be told from: its
    accuracy lies within the 95 % Wilson interval of the best on the validation images."""
    ranked = rank(search, sparsity).dropna(subset=[name])
    if ranked.empty or pd.isna(ranked.iloc[0]["images"]):
        return None
    low, _ = wilson_interval(ranked.iloc[0]["val_top1"] / 100, int(ranked.iloc[0]["images"]))
    return ranked[ranked["val_top1"] >= 100 * low].sort_values(name).iloc[0]
