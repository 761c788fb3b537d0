"""Rows that do not count any more: those of an earlier content of a user's method file, those of
trials that another list of sparsities has replaced, and those of trials that ran again because
something changed that no column of the rows names.

They stay in the study directory; the report leaves them out and says so among its warnings.
"""

import re
from collections.abc import Iterable

import pandas as pd

from analysis.columns import METHOD_IN_SETTING

# A user's method and the digest of its file, as the column `versions` names them.
METHOD_FILE = re.compile(r"(\w+) sha256:([0-9a-f]{12})")
# The end of a trial's key: the digest of what determines its result.
DIGEST = r"-[0-9a-f]{8}$"


def drop_rows_of_old_method_files(
    rows: pd.DataFrame, planned: object, warnings: list[str]
) -> pd.DataFrame:
    """The rows without those that ran with an earlier content of a user's method file; each such
    method is named in `warnings`.

    The current content is the planned one; of a method that is no longer planned, the one that ran
    last.

    Args:
        planned: the content of `plan.json`.
    """
    digests = {
        text: dict(METHOD_FILE.findall(text))
        for text in rows["versions"].dropna().unique()
        if "sha256:" in text
    }
    if not digests:
        return rows
    sources = planned.get("sources") if isinstance(planned, dict) else None
    sources = sources if isinstance(sources, dict) else {}
    keep = pd.Series(True, index=rows.index)
    for method in sorted({method for named in digests.values() for method in named}):
        ran = rows["versions"].map({text: named.get(method) for text, named in digests.items()})
        last = rows.loc[ran.notna()].sort_values("finished", kind="stable").index[-1]
        current = str(sources.get(method) or ran[last])[:12]
        old = ran.notna() & (ran != current)
        if old.any():
            count = rows.loc[old, "key"].nunique()
            warnings.append(
                f"left out {count} trials of method '{method}' that ran with another content of "
                "its file"
            )
        keep &= ~old
    return rows[keep].reset_index(drop=True)


def drop_rows_of_old_sparsity_lists(
    rows: pd.DataFrame, plan: pd.DataFrame, warnings: list[str]
) -> pd.DataFrame:
    """The rows without those of trials that a trial with another list of sparsities has replaced;
    each method that has such is named in `warnings`.

    A method that measures several sparsities in one trial is trained anew when the study's list
    changes. Both trials then have cells in common, and their mean would mix two ways to train. So
    where the sparsities that two trials measure overlap, with one method, the same knobs and one
    setting, the planned trial stays; of those that are no longer planned, the one that ran last.
    All other rows stay, planned or not: a study may be run in parts, and then the plan is that of
    the last part.

    Args:
        plan: one row per planned trial, as in `load.Study`; its `sparsities` count where a trial
            has no rows yet.
    """
    planned = set(plan["key"])
    if planned.issuperset(rows["key"]):
        return rows
    trials = _list_trials(rows, plan)
    trials["planned"] = trials["key"].isin(planned)
    replaced_keys = [
        key
        for _, group in trials.groupby(METHOD_IN_SETTING, dropna=False, sort=False)
        for key in _find_replaced(group)
    ]
    reason = "they measured another list of sparsities than the trials that replace them"
    return _leave_out(rows, replaced_keys, reason, warnings)


def drop_rows_of_repeated_trials(
    rows: pd.DataFrame, plan: pd.DataFrame, warnings: list[str]
) -> pd.DataFrame:
    """The rows without those of trials that another trial repeats under other conditions; each
    method that has such is named in `warnings`.

    The keys of two such trials differ in their digest alone, and their rows in no column that names
    a setting: the user's augmentation file was edited, or batch-norm statistics by rank were taken
    with another number of ranks. The planned trial stays, also where it has no rows yet; of those
    that are no longer planned, the one that ran last.

    Args:
        plan: one row per planned trial, as in `load.Study`.
    """
    planned = set(plan["key"])
    if planned.issuperset(rows["key"]):
        return rows
    trials = _list_trials(rows, plan)
    trials["planned"] = trials["key"].isin(planned)
    trials["place"] = trials["key"].str.replace(DIGEST, "", regex=True)
    order = trials.sort_values(["planned", "finished"], kind="stable")
    last = order.groupby([*METHOD_IN_SETTING, "place"], dropna=False)["key"].transform("last")
    repeated = order.loc[~order["planned"] & order["key"].ne(last), "key"]
    reason = "newer trials repeat them with another augmentation file or another number of ranks"
    return _leave_out(rows, repeated, reason, warnings)


def _leave_out(
    rows: pd.DataFrame, keys: Iterable[str], reason: str, warnings: list[str]
) -> pd.DataFrame:
    """The rows without those of some trials; each of their methods is named in `warnings`."""
    dropped = rows["key"].isin(list(keys))
    for method, left in rows[dropped].groupby("method")["key"]:
        warnings.append(
            f"left out {left.nunique()} trials of method '{method}' ({len(left)} rows): {reason}"
        )
    return rows[~dropped].reset_index(drop=True)


def _list_trials(rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """One row per trial: `METHOD_IN_SETTING`, `key`, `finished` (empty where it is not known) and
    `sparsity_set`, the sparsities that it measures."""
    measured = rows[["key", "sparsity"]].dropna().round({"sparsity": 9})
    sets = measured.groupby("key")["sparsity"].agg(frozenset).to_dict()
    waiting = plan[~plan["key"].isin(rows["key"])]
    requested = zip(waiting["key"], waiting["sparsities"], strict=True)
    sets |= {key: _round(sparsities or ()) for key, sparsities in requested}
    trials = pd.concat(
        [
            rows.drop_duplicates("key")[[*METHOD_IN_SETTING, "key", "finished"]],
            waiting[[*METHOD_IN_SETTING, "key"]],
        ]
    )
    trials["sparsity_set"] = [sets.get(key, frozenset()) for key in trials["key"]]
    return trials.assign(finished=trials["finished"].fillna(""))


def _round(sparsities: Iterable[float]) -> frozenset[float]:
    return frozenset(round(sparsity, 9) for sparsity in sparsities)


def _find_replaced(trials: pd.DataFrame) -> list[str]:
    """The keys of the trials of one method, knobs and setting whose set of sparsities has given way
    to another that overlaps it."""
    current = set(trials.loc[trials["planned"], "sparsity_set"])
    last_ran: dict[frozenset[float], str] = {}
    for sparsities, finished in zip(trials["sparsity_set"], trials["finished"], strict=True):
        last_ran[sparsities] = max(last_ran.get(sparsities, ""), finished)
    taken, replaced = frozenset[float]().union(*current), set()
    newest_first = sorted(
        last_ran.keys() - current,
        key=lambda sparsities: (last_ran[sparsities], sorted(sparsities)),
        reverse=True,
    )
    for sparsities in newest_first:
        if sparsities & taken:
            replaced.add(sparsities)
        else:
            taken |= sparsities
    return [str(key) for key in trials.loc[trials["sparsity_set"].isin(replaced), "key"]]
