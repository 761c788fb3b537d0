"""`analysis.load`: the rows of a study as one tidy data frame, for those who plot themselves."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.reading.load import load_study
from analysis.series import find_series
from trainables.storage.store import Store


def load(place: Store | str | Path) -> pd.DataFrame:
    """One row for every measured level of every trial of a study, also of one that still runs.

    The columns are those of the row tables (`trainables.storage.schema.ROW_SCHEMA`; sparsity and
    densities are fractions, accuracies percent, times seconds), those of the latency pass where it
    ran, and besides:

    label: the name of the series as figures and tables have it, a method with the knobs and the
        stage that tell it from others of the study.
    knobs.<name>, recipe.<name>: the fields of the two JSON columns, where a row sets them.

    Files that cannot be read are left out and named in `frame.attrs["warnings"]`.

    Raises:
        UserError: there is no study at that place.
    """
    study = load_study(place)
    frame = study.rows.copy()
    labels = {
        (series.method, series.knobs, series.stage): series.label
        for series in (find_series(frame, study.cards) if len(frame) else ())
    }
    keys = zip(frame["method"], frame["knobs"], frame["stage"], strict=True)
    frame.insert(0, "label", pd.Series([labels[key] for key in keys], frame.index, dtype="str"))
    for column in ("knobs", "recipe"):
        frame = pd.concat([frame, _expand(frame[column], column)], axis=1)
    frame.attrs["warnings"] = list(study.warnings)
    return frame


def _expand(texts: pd.Series, column: str) -> pd.DataFrame:
    """The fields of JSON objects as columns; None where an object has not the field."""
    fields = {text: _read_object(text) for text in texts.unique()}
    names = sorted({name for values in fields.values() for name in values})
    columns = {f"{column}.{name}": [fields[text].get(name) for text in texts] for name in names}
    return pd.DataFrame(columns, index=texts.index)


def _read_object(text: str) -> dict[str, Any]:
    """The fields of a JSON object; those that are lists or objects as JSON texts."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return {
        name: json.dumps(field) if isinstance(field, list | dict) else field
        for name, field in (value.items() if isinstance(value, dict) else ())
    }
