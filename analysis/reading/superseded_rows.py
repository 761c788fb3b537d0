"""Rows of courses that another list of sparsities has replaced.

A method that measures several sparsities in one trial is trained anew when the list of the study
changes. Both trials have cells in common, and their mean would be that of two ways to train.
"""

import pandas as pd

from analysis.statistics.aggregate import SETTING

ONE = [*SETTING, "method", "knobs"]  # what has one course, or several that share no sparsity


def drop_superseded(rows: pd.DataFrame, plan: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """The rows without those of replaced courses; each method that has such is named in `warnings`.

    A course is the set of sparsities that a trial measures. Where courses of one method with the
    same knobs in one setting overlap, the planned one stays; of those that are planned no more, the
    one that ran last. All other rows stay, planned or not: a study may be run in parts, and then
    the plan is that of the last part.

    Args:
        plan: one line per planned trial, as in `load.Study`; its `sparsities` count where a trial
            has no rows yet.
    """
    planned = set(plan["key"])
    if planned.issuperset(rows["key"]):
        return rows
    trials = _list_trials(rows, plan)
    trials["planned"] = trials["key"].isin(planned)
    old = [
        key
        for _, group in trials.groupby(ONE, dropna=False, sort=False)
        for key in _find_replaced(group)
    ]
    replaced = rows["key"].isin(old)
    for method, keys in rows[replaced].groupby("method")["key"]:
        text = f"left out {keys.nunique()} trials of method '{method}' ({len(keys)} rows)"
        warnings.append(
            f"{text}: they measured another list of sparsities than the trials that replace them"
        )
    return rows[~replaced].reset_index(drop=True)


def _list_trials(rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """One line per trial: `ONE`, `key`, `finished` (empty where it is not known) and `course`."""
    measured = rows[["key", "sparsity"]].dropna().round({"sparsity": 9})
    courses = measured.groupby("key")["sparsity"].agg(frozenset).to_dict()
    waiting = plan[~plan["key"].isin(rows["key"])]
    asked = zip(waiting["key"], waiting["sparsities"], strict=True)
    courses |= {key: frozenset(round(one, 9) for one in listed or ()) for key, listed in asked}
    trials = pd.concat(
        [rows.drop_duplicates("key")[[*ONE, "key", "finished"]], waiting[[*ONE, "key"]]]
    )
    trials["course"] = [courses.get(key, frozenset()) for key in trials["key"]]
    return trials.assign(finished=trials["finished"].fillna(""))


def _find_replaced(trials: pd.DataFrame) -> list[str]:
    """The keys of the trials of one method, knobs and setting whose course has given way to
    another."""
    kept = set(trials.loc[trials["planned"], "course"])
    last: dict[frozenset[float], str] = {}
    for course, finished in zip(trials["course"], trials["finished"], strict=True):
        last[course] = max(last.get(course, ""), finished)
    taken, replaced = frozenset[float]().union(*kept), set()
    for course in sorted(
        last.keys() - kept, key=lambda one: (last[one], sorted(one)), reverse=True
    ):
        if course & taken:
            replaced.add(course)
        else:
            taken |= course
    return [str(key) for key in trials.loc[trials["course"].isin(replaced), "key"]]
