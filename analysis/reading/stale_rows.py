"""Rows that an earlier content of a user's own method gave: they are of another method than today's
of that name."""

import re

import pandas as pd

SOURCE = re.compile(r"(\w+) sha256:([0-9a-f]{12})")  # as the column `versions` tells it


def drop_outdated(rows: pd.DataFrame, planned: object, warnings: list[str]) -> pd.DataFrame:
    """The rows without those of earlier contents of the user's own methods; each such method is
    named in `warnings`.

    Today's content is the planned one; of a method that is planned no more, the one that ran last.

    Args:
        planned: `plan.json` as it stands.
    """
    found = {
        text: dict(SOURCE.findall(text))
        for text in rows["versions"].dropna().unique()
        if "sha256:" in text
    }
    if not found:
        return rows
    sources = planned.get("sources") if isinstance(planned, dict) else None
    sources = sources if isinstance(sources, dict) else {}
    keep = pd.Series(True, index=rows.index)
    for name in sorted({name for one in found.values() for name in one}):
        ran = rows["versions"].map({text: one.get(name) for text, one in found.items()})
        last = rows.loc[ran.notna()].sort_values("finished", kind="stable").index[-1]
        today = str(sources.get(name) or ran[last])[:12]
        old = ran.notna() & (ran != today)
        if old.any():
            keys = rows.loc[old, "key"].nunique()
            warnings.append(
                f"left out {keys} trials of method '{name}' that ran with another content of its file"
            )
        keep &= ~old
    return rows[keep].reset_index(drop=True)
