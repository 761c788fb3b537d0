"""The best of a search: which candidate it is, and its test accuracy when it was trained anew with
other seeds."""

import pandas as pd

from analysis.reading.search_data import Search
from analysis.reading.size_of_test_set import find_test_images
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.intervals_and_tests import wilson_interval


def rank_candidates(search: Search, sparsity: float) -> pd.DataFrame:
    """The candidates at a sparsity that were trained to the end and are not too costly, the best
    first."""
    candidates = search.candidates_at(sparsity)
    done = candidates[(candidates["outcome"] == "done") & candidates["val_top1"].notna()]
    objective = search.spec.get("objective")
    limit = objective.get("max_effective_macs") if isinstance(objective, dict) else None
    if isinstance(limit, int | float):
        done = done[done["effective_macs"] <= limit]
    ranked: pd.DataFrame = done.sort_values(
        ["val_top1", "effective_macs", "number"], ascending=[False, True, True]
    )
    return ranked


def seeks_pareto_front(search: Search) -> bool:
    """Whether the search looks for a Pareto front instead of one best."""
    objective = search.spec.get("objective")
    return isinstance(objective, dict) and bool(objective.get("pareto"))


def find_best_candidates(search: Search) -> pd.DataFrame:
    """The best candidates, by sparsity: one each, or the front, from accurate to cheap."""
    parts = []
    for sparsity in search.sparsities:
        ranked = rank_candidates(search, sparsity)
        if seeks_pareto_front(search):
            before = ranked["effective_macs"].cummin().shift(fill_value=float("inf"))
            parts.append(ranked[ranked["effective_macs"] < before])
        else:
            parts.append(ranked.head(1))
    return pd.concat(parts) if parts else search.candidates.head(0)


def find_confirmed_best(search: Search) -> pd.DataFrame:
    """What the best reached when it was trained anew with other seeds.

    Columns: `sparsity`, `knobs`, `recipe`, `mean`, `low`, `high` (null of one seed) and `n` of the
    test accuracy, and `val_mean`; where there is one row at a sparsity and one best, its
    dimensions, too.
    """
    identity = ["sparsity", "knobs", "recipe"]
    columns = [*identity, "mean", "low", "high", "n", "val_mean", *search.dimensions]
    if search.best is None:
        return pd.DataFrame(columns=columns)
    rows = search.best.rows
    rows = rows[(rows["method"] == search.spec.get("method")) & rows["test_top1"].notna()]
    rows = rows.sort_values(["key", "level"]).drop_duplicates("key", keep="last")
    best = find_best_candidates(search)
    summary = _summarise(rows, identity)
    confirmed = []
    for number, (key, group) in enumerate(rows.groupby(identity, dropna=False)):
        values = dict(zip(identity, key, strict=True)) | summary.loc[number].to_dict()
        values["val_mean"] = float(group["val_top1"].astype(float).mean())
        same_sparsity = rows["sparsity"] == values["sparsity"]
        is_only_one = (rows.loc[same_sparsity, ["knobs", "recipe"]].nunique() == 1).all()
        candidates = best[best["sparsity"] == values["sparsity"]]
        if len(candidates) == 1 and is_only_one:
            values |= {name: candidates.iloc[0][name] for name in search.dimensions}
        confirmed.append(values)
    return pd.DataFrame(confirmed, columns=columns)


def _summarise(rows: pd.DataFrame, identity: list[str]) -> pd.DataFrame:
    """Mean and interval of the test accuracy of every group of rows, by its number."""
    values = pd.DataFrame(
        {
            "cell": rows.groupby(identity, dropna=False).ngroup(),
            "seed": rows["seed"],
            "value": rows["test_top1"].astype(float),
        }
    ).drop_duplicates(["cell", "seed"])
    return FittedTables(values, images=find_test_images(rows) or 0).summarise()


def find_smallest_sufficient(search: Search, sparsity: float, name: str) -> pd.Series | None:
    """The candidate with the smallest value of a dimension that is as good as the best: its
    accuracy lies within the 95 % Wilson interval of the best on the validation images."""
    ranked = rank_candidates(search, sparsity).dropna(subset=[name])
    if ranked.empty or pd.isna(ranked.iloc[0]["images"]):
        return None
    low, _ = wilson_interval(ranked.iloc[0]["val_top1"] / 100, int(ranked.iloc[0]["images"]))
    return ranked[ranked["val_top1"] >= 100 * low].sort_values(name).iloc[0]
