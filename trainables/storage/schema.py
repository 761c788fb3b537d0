"""The row schema: every column of the four Parquet tables of a study, with its type.

*rows*: one row per measured level and stage. *curves*: one per epoch and split, and one per
evaluation within an epoch. *layers*: one per
layer of a measured level. *latency*: one per measured level, stage and batch size, made afterwards
by `--measure`. To add a column to *rows*, name it here, fill it in `trainables/measured_row.py`,
raise `SCHEMA_VERSION` and say below what is new. Files without the column are read with nulls; an
older version of the project reads files of a higher version without it, with a warning, where an
unknown column in a file of its own version is damage. Imports neither torch nor Ray.
"""

import pyarrow as pa

from trainables.storage import layout

# 2: `test_images` and `train_macs`; `prunable`, `zeros`, `product_macs`, `exclude` and
# `layer_sparsity`. 3: `weights`, `normalise`, `image_size` and `images`; `early_stop_*`, and
# `iteration` of the curves. 4: `ranks`.
SCHEMA_VERSION = 4

_text, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()

ROW_SCHEMA = pa.schema(
    [
        # identity: `sparsity` as requested, null where the method's own rule decides; `stage` e.g.
        # final, raw, recalibrated, finetuned
        ("study", _text),
        ("key", _text),
        ("dataset", _text),
        ("model", _text),
        ("method", _text),
        ("knobs", _text),  # JSON of the knobs that are not the default
        ("recipe", _text),  # JSON of the fields of the training recipe that are not the default
        ("retrain", _text),  # likewise of the retrain recipe; null where the trial does not use it
        ("sparsity", _float),
        # JSON: the layers that are left alone, and sparsities of single layers; null without any
        ("exclude", _text),
        ("layer_sparsity", _text),
        # where the network began with given weights: the digest of their tensors
        ("weights", _text),
        # JSON of the mean and std per channel by which images were normalised, and the height and
        # width to which they were brought; null where that is as the data are
        ("normalise", _text),
        ("image_size", _int),
        ("seed", _int),
        ("level", _int),
        ("stage", _text),
        # outcome: accuracies in percent, losses in nats per image; best_epoch_* only when asked for
        ("test_top1", _float),
        ("test_top5", _float),
        ("test_loss", _float),
        ("val_top1", _float),
        ("best_epoch_test_top1", _float),
        # where the recipe evaluates by iteration: that of the smallest validation loss of the last
        # training, the loss, and what the network of then answers on the test set
        ("early_stop_iteration", _int),
        ("early_stop_val_loss", _float),
        ("early_stop_test_top1", _float),
        ("test_images", _int),  # measured for test_*; null where the trial may not read them
        # size
        ("params", _int),
        ("nonzero", _int),
        # weights that the trial prunes, as many as there are now, and those of them that are zero,
        # counted in the tensors that the forward pass uses
        ("prunable", _int),
        ("zeros", _int),
        ("sparsity_reached", _float),
        ("compression", _float),
        ("macs", _int),
        ("product_macs", _int),  # of them: products of two activations, as attention's
        ("effective_macs", _float),
        ("bytes", _int),
        # hardware of the training
        ("device", _text),
        ("threads", _int),
        ("ranks", _int),  # processes that shared its batches; null, as 1, before there were such
        ("precision", _text),
        ("compiled", _bool),
        ("images", _text),  # where they lived while the trial ran, and why
        # cost up to and including this level, without what was shared
        ("epochs", _int),
        ("train_seconds", _float),
        # multiply-accumulates: 3 (forward, and twice that backward) x images x those of the network
        # at that time, where masked weights count in full; null where the trial was begun by a
        # version that did not count them
        ("train_macs", _float),
        # of the whole trial in its worker: data, training, pruning, measuring, writing
        ("trial_seconds", _float),
        ("attempts", _int),
        # health
        ("connected", _bool),
        ("emptied_layers", _text),
        ("notes", _text),
        # provenance; `digest` is the SHA-256 of the weights, buffers and masks that were measured
        ("digest", _text),
        ("data_digest", _text),
        ("commit", _text),
        ("versions", _text),
        ("host", _text),
        ("started", _text),
        ("finished", _text),
        ("schema_version", _int),
    ]
)

CURVE_SCHEMA = pa.schema(
    [
        ("key", _text),
        ("step", _int),
        ("epoch", _int),
        ("phase", _text),
        ("split", _text),
        ("loss", _float),
        ("top1", _float),
        ("lr", _float),
        ("iteration", _int),  # of an evaluation within an epoch, counted from the recipe's start
    ]
)

LAYER_SCHEMA = pa.schema(
    [
        ("key", _text),
        ("level", _int),
        ("stage", _text),
        ("layer", _text),
        ("shape", _text),
        ("weights", _int),
        ("nonzero", _int),
        ("macs", _int),
    ]
)

LATENCY_SCHEMA = pa.schema(
    [
        ("key", _text),
        ("level", _int),
        ("stage", _text),
        ("form", _text),  # dense, masked, smaller, or n:m where kernels for that pattern were used
        ("batch", _int),
        # times are null where the batch did not fit into memory; the interquartile range is the
        # third quartile less the first
        ("median_ms", _float),
        ("iqr_ms", _float),
        ("runs", _int),
        ("images_per_second", _float),
        ("peak_bytes", _int),  # GPU memory; null on the CPU
        # what was measured: levels of one form share a measurement, `measured_on` is the key whose
        # records it rests on
        ("measured_on", _text),
        ("zeros", _int),
        ("device", _text),
        ("threads", _int),
        ("precision", _text),
        ("notes", _text),
        ("commit", _text),
        ("versions", _text),
        ("host", _text),
        ("finished", _text),
    ]
)

TABLES = {
    layout.ROWS: ROW_SCHEMA,
    layout.CURVES: CURVE_SCHEMA,
    layout.LAYERS: LAYER_SCHEMA,
    layout.LATENCY: LATENCY_SCHEMA,
}

# Columns that say when, where and how long: they differ between two runs of the same trial, all
# others must not.
CIRCUMSTANCES = frozenset(
    {
        "train_seconds",
        "trial_seconds",
        "attempts",
        "images",
        "host",
        "started",
        "finished",
        "commit",
        "versions",
    }
)

# Columns that rows had before there was the table `latency`.
RETIRED = frozenset({"latency_ms_b1", "latency_ms_b256", "latency_iqr_ms"})
