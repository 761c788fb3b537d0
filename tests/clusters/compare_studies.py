"""Compares a study that lost hosts on the way with the same one on a single machine:
`compare_studies.py CLUSTER SINGLE`."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from trainables.storage import parquet_tables, schema
from trainables.storage.store import Store


def tables(folder: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """One table of a study, by key."""
    store = Store.at(folder)
    return {
        path: parquet_tables.decode_table(name, store.read(path)).to_pylist()
        for path in store.list(name, ".parquet")
    }


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that say when and where."""
    return [
        {n: v for n, v in row.items() if n not in schema.CIRCUMSTANCES | {"study"}} for row in rows
    ]


def main(cluster: str, single: str) -> int:
    """0 where all tables are equal, several hosts took part, and some trial needed a second
    attempt."""
    for name in ("rows", "curves", "layers"):
        ours, theirs = tables(cluster, name), tables(single, name)
        assert ours.keys() == theirs.keys(), f"{name}: {ours.keys() ^ theirs.keys()}"
        for key in ours:
            assert plain(ours[key]) == plain(theirs[key]), key
    rows = [row for found in tables(cluster, "rows").values() for row in found]
    hosts = sorted({row["host"].split(":")[0] for row in rows})
    again = sorted({row["key"] for row in rows if row["attempts"] > 1})
    assert len(hosts) > 1, f"all trials ended on {hosts}"
    assert again, "no trial was interrupted"
    print(
        f"equal: {len(tables(cluster, 'rows'))} trials, which ended on {', '.join(hosts)}; "
        f"continued: {', '.join(again)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
