"""The latency table joined to the rows: how long each measured level takes for a batch, and how
much faster that is than the dense network."""

import pandas as pd

from analysis.columns import LATENCY_BATCHES, LATENCY_COLUMNS, LEVEL

# A level is compared with a dense network that was timed alike: in all of these.
CONDITIONS = ["device", "threads", "precision"]
TIMED_ALIKE = ["dataset", "model", "batch", *CONDITIONS]


def join_latency(rows: pd.DataFrame, latency: pd.DataFrame) -> pd.DataFrame:
    """The rows with `LATENCY_COLUMNS`, in their order; null where a level was not measured.

    latency_ms and latency_iqr_ms: median and interquartile range of one batch. speedup: the median
    of the dense network of the same data set and model, on the same device, with the same threads
    and precision, over this one's; 1 is no gain. Where several dense networks were measured, as in
    two passes, theirs is the median of their medians.

    Args:
        latency: the table of that name, see `trainables.storage.schema.LATENCY_SCHEMA`.
    """
    if latency.empty:
        return rows.assign(**dict.fromkeys(LATENCY_COLUMNS, float("nan")))
    settings = rows[[*LEVEL, "dataset", "model"]].drop_duplicates(LEVEL)
    timed = latency.drop_duplicates([*LEVEL, "batch"]).merge(settings, on=LEVEL)
    dense = (
        timed[timed["form"] == "dense"]
        .groupby(TIMED_ALIKE)["median_ms"]
        .median()
        .rename("dense_ms")
    )
    timed = timed.merge(dense.reset_index(), how="left", on=TIMED_ALIKE)
    timed["speedup"] = timed["dense_ms"] / timed["median_ms"]
    joined = rows
    for batch in LATENCY_BATCHES:
        named = {"median_ms": f"latency_ms_b{batch}", "iqr_ms": f"latency_iqr_ms_b{batch}"}
        part = timed.loc[timed["batch"] == batch, [*LEVEL, *named, "speedup"]]
        joined = joined.merge(
            part.rename(columns={**named, "speedup": f"speedup_b{batch}"}), how="left", on=LEVEL
        )
    return joined.astype(dict.fromkeys(LATENCY_COLUMNS, "float64"))


def warn_of_unlike_latencies(
    rows: pd.DataFrame, latency: pd.DataFrame, warnings: list[str]
) -> None:
    """Say so where the networks of one data set and model were not all timed alike: milliseconds of
    several devices make no mean."""
    named = rows[["key", "dataset", "model"]].drop_duplicates("key")
    timed = latency[["key", *CONDITIONS]].drop_duplicates().merge(named, on="key")
    for (dataset, model), group in timed.groupby(["dataset", "model"]):
        ways = group[CONDITIONS].drop_duplicates().sort_values(CONDITIONS)
        if len(ways) > 1:
            texts = [
                f"{way.device}, threads {way.threads}, {way.precision}" for way in ways.itertuples()
            ]
            warnings.append(
                f"the networks of {dataset}, {model} were timed in {len(ways)} ways "
                f"({'; '.join(texts[:3])}): latencies are means over them and not comparable; each "
                "speed-up is against a dense network that was timed in the same way"
            )
