"""What every measured level was trained for: its own epochs, and those in total with the dense
training that its trial starts from."""

import pandas as pd

from analysis.reading.load import Study

# Columns of the rows that add up along a trial, and the name of their total with the dense
# training.
TOTALS = {
    "epochs": "total_epochs",
    "train_macs": "total_train_macs",
    "train_seconds": "total_train_seconds",
}


def find_training_totals(study: Study) -> pd.DataFrame:
    """The columns of `TOTALS`, indexed as the rows: what a level's trial spent up to it, plus all
    that the trials spent that it starts from.

    NaN where a part of it is unknown: a parent has no rows yet, rows were written before the column
    existed, or the study has no plan that names the parents.
    """
    rows = study.rows
    own = rows[list(TOTALS)].astype(float)
    spent = own.groupby(rows["key"]).max()
    parents = {
        str(key): [str(parent) for parent in given] if isinstance(given, list) else []
        for key, given in zip(study.plan["key"], study.plan["parents"], strict=True)
    }
    shared = pd.DataFrame(
        {key: _add_up(_list_ancestors(key, parents), spent) for key in spent.index},
        index=list(TOTALS),
    ).T
    shared.loc[~shared.index.isin(list(parents))] = float("nan")
    of_row = shared.reindex(rows["key"]).set_axis(rows.index)
    return (own + of_row).rename(columns=TOTALS)


def _list_ancestors(key: str, parents: dict[str, list[str]]) -> list[str]:
    """The trials that a trial starts from, and those that they start from; each once."""
    found: dict[str, None] = {}
    waiting = list(parents.get(key, []))
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found[parent] = None
            waiting += parents.get(parent, [])
    return list(found)


def _add_up(keys: list[str], spent: pd.DataFrame) -> pd.Series:
    """What some trials spent together; NaN where one of them is unknown."""
    return spent.reindex(keys).sum(skipna=False)
