"""How many images a setting trained on, validated on and tested on."""

import json
from dataclasses import dataclass

import pandas as pd

from analysis.reading.size_of_test_set import TEST_IMAGES
from analysis.series import Setting
from analysis.statistics.results import Results

# Images of the standard data sets that are not for testing. A tenth of them is held out for
# validation, unless the recipe says otherwise (`trainables.data.data_set.split_data`).
TRAINING_IMAGES = {
    "digits": 1438,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
}
PASSES = 3  # of an image through the network in training: `train_macs` counts backward twice


@dataclass(frozen=True)
class DataSizes:
    """Images of each split; None where that is unknown, 0 where none are held out."""

    training: int | None
    validation: int | None
    test: int | None


def find_data_sizes(results: Results, setting: Setting) -> DataSizes:
    """The sizes of a setting's data: of a standard data set, which the number of test images must
    confirm; else of what the rows of the dense network counted in training."""
    test = results.test_images(setting)
    holds_out = _read_recipe(setting.recipe).get("hold_out", True)
    known = TRAINING_IMAGES.get(setting.dataset)
    if known is not None and test == TEST_IMAGES.get(setting.dataset):
        validation = max(1, known // 10) if holds_out else 0
        return DataSizes(known - validation, validation, test)
    columns = ["method", "train_macs", "epochs", "macs"]
    rows = results.rows_of(setting, columns).dropna()
    rows = rows[(rows["method"] == "dense") & (rows["epochs"] > 0) & (rows["macs"] > 0)]
    counted = rows["train_macs"] / (PASSES * rows["epochs"] * rows["macs"])
    training = _find_only(counted.astype(float).round(6))
    return DataSizes(training, None if holds_out else 0, test)


def _find_only(values: pd.Series) -> int | None:
    """The one whole number that all values are."""
    distinct = values.unique()
    if len(distinct) != 1 or not float(distinct[0]).is_integer():
        return None
    return int(distinct[0])


def _read_recipe(recipe: str) -> dict[str, object]:
    """The fields of a recipe that are not the default; empty where the text is none."""
    try:
        fields = json.loads(recipe)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
