"""The fourth table beside the rows: what each measured level takes, and how much faster than the
dense network."""

import pandas as pd

BATCHES = (1, 256)
COLUMNS = tuple(
    f"{name}_b{batch}" for batch in BATCHES for name in ("latency_ms", "latency_iqr_ms", "speedup")
)
LEVEL = ["key", "level", "stage"]
ALIKE = ["dataset", "model", "batch", "device", "threads", "precision"]


def join_latency(rows: pd.DataFrame, latency: pd.DataFrame) -> pd.DataFrame:
    """The rows with `COLUMNS`, in their order; null where a level was not measured.

    latency_ms and latency_iqr_ms: median and interquartile range of one batch. speedup: the median
    of the dense network of the same data set and model, on the same device, with the same threads
    and precision, over this one's; 1 is no gain. Where several dense networks were measured, as in
    two passes, theirs is the median of their medians.

    Args:
        latency: the table of that name, see `trainables.storage.parquet_tables.LATENCY`.
    """
    if latency.empty:
        return rows.assign(**dict.fromkeys(COLUMNS, float("nan")))
    settings = rows[[*LEVEL, "dataset", "model"]].drop_duplicates(LEVEL)
    timed = latency.drop_duplicates([*LEVEL, "batch"]).merge(settings, on=LEVEL)
    dense = timed[timed["form"] == "dense"].groupby(ALIKE)["median_ms"].median().rename("dense_ms")
    timed = timed.merge(dense.reset_index(), how="left", on=ALIKE)
    timed["speedup"] = timed["dense_ms"] / timed["median_ms"]
    joined = rows
    for batch in BATCHES:
        named = {"median_ms": f"latency_ms_b{batch}", "iqr_ms": f"latency_iqr_ms_b{batch}"}
        part = timed.loc[timed["batch"] == batch, [*LEVEL, *named, "speedup"]]
        joined = joined.merge(
            part.rename(columns={**named, "speedup": f"speedup_b{batch}"}), how="left", on=LEVEL
        )
    return joined.astype(dict.fromkeys(COLUMNS, "float64"))
