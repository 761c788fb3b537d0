"""The columns that identify what a row, a series or a cell is, and those that the analysis adds to
the rows."""

SETTING = ["dataset", "model", "recipe"]  # what one figure holds fixed
SERIES = ["method", "knobs", "stage"]  # what one line of a figure shows
METHOD_IN_SETTING = [*SETTING, "method", "knobs"]  # a method with its knobs, whatever the stage
CELL = [*METHOD_IN_SETTING, "sparsity", "level", "stage"]  # what seeds are averaged over
PLANNED = [*METHOD_IN_SETTING, "sparsity"]  # a plan knows neither levels nor stages
LEVEL = ["key", "level", "stage"]  # one measured level of one trial

# What a trial begins with; in the analysis they are fields of the column `recipe`.
START = ["weights", "normalise", "image_size"]

# Columns of the rows that name or number something: no metric is among them.
IDENTITY = {"study", "key", *CELL, *START, "retrain", "seed"}

LATENCY_BATCHES = (1, 256)
LATENCY_COLUMNS = tuple(  # what `analysis.reading.join_latency` adds to the rows
    f"{quantity}_b{batch}"
    for batch in LATENCY_BATCHES
    for quantity in ("latency_ms", "latency_iqr_ms", "speedup")
)
