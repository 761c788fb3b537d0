"""A study directory as data frames: what was measured, what was planned, what failed.

The directory may belong to a study that still runs: files appear while we read, and whatever cannot
be read is skipped and named in `warnings`.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa

from analysis.reading.join_latency import join_latency
from analysis.reading.plan_and_failures import (
    Failure,
    check_spec,
    first_line,
    read_failures,
    read_plan,
    read_text,
)
from analysis.reading.stale_rows import drop_outdated
from analysis.reading.superseded_rows import drop_superseded
from analysis.statistics.aggregate import SETTING
from pruning.user_error import UserError
from trainables.storage.parquet_tables import SCHEMA_VERSION, TABLES, DamagedTable, decode
from trainables.storage.store import Store, is_remote


@dataclass(frozen=True)
class Study:
    """Everything known of a study; `rows` and `plan` are empty frames with all columns where there
    is nothing yet.

    `rows` has the columns of `trainables.storage.parquet_tables.ROWS` and those of
    `analysis.reading.join_latency`, null where nothing was timed; `plan` one row per planned trial
    with `PLAN_COLUMNS`. In both, `knobs` and `recipe` are JSON with sorted keys, so that equal
    settings are equal texts. `cards` has for every planned method its card (title, paper, summary,
    kind, cost, when) and under `knobs` the defaults of its knobs; empty where the plan was written
    without.
    """

    store: Store
    name: str
    rows: pd.DataFrame
    plan: pd.DataFrame
    failures: tuple[Failure, ...]
    spec: dict[str, object] = field(default_factory=dict)
    cards: dict[str, dict[str, object]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^a-zA-Z0-9_.]+", "-", self.name).strip("-") or "study"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The learning curves, read when first asked for; unreadable files are added to `warnings`.
        """
        return _load_table(self.store, "curves", self.warnings)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The layers of every measured level, read when first asked for; unreadable files are added
        to `warnings`."""
        return _load_table(self.store, "layers", self.warnings)


def load(place: Store | str | Path) -> Study:
    """Read a study directory, given as a path, a URI such as `s3://bucket/study`, or a store.

    Raises:
        UserError: there is no such directory, or it holds neither `study.yaml`, nor `plan.json`,
            nor rows.
    """
    store = place if isinstance(place, Store) else Store.at(place)
    warnings: list[str] = []
    spec = read_text(store, "study.yaml", warnings)
    planned = read_text(store, "plan.json", warnings)
    rows = drop_outdated(_load_table(store, "rows", warnings), planned, warnings)
    rows = join_latency(rows, _load_table(store, "latency", warnings))
    if spec is None and planned is None and rows.empty and not warnings:
        raise UserError(_explain(store))
    newest = rows["schema_version"].max() if len(rows) else SCHEMA_VERSION
    if pd.notna(newest) and newest > SCHEMA_VERSION:
        newer = rows.loc[rows["schema_version"] > SCHEMA_VERSION, "key"].unique()
        warnings.append(
            f"rows of schema version {newest} are read as version {SCHEMA_VERSION}, without newer columns: update this "
            f"project to see them ({len(newer)} files, e.g. rows/{newer[0]}.parquet)"
        )
    plan = read_plan(planned, warnings)
    for frame in (rows, plan):
        for column in ("knobs", "recipe"):
            sorted_ = {text: _sort_keys(text) for text in frame[column].unique()}
            if any(text != known for text, known in sorted_.items()):
                frame[column] = frame[column].map(sorted_)
            frame[column] = frame[column].astype("str")
    _tell_retraining_apart(rows, plan)
    rows = drop_superseded(rows, plan, warnings)
    spec = check_spec(spec, warnings)
    name = str(spec.get("name") or store.place().rstrip("/").rsplit("/", 1)[-1])
    cards = planned.get("cards") if isinstance(planned, dict) else None
    cards = (
        {str(key): card for key, card in cards.items() if isinstance(card, dict)}
        if isinstance(cards, dict)
        else {}
    )
    return Study(store, name, rows, plan, read_failures(store, warnings), spec, cards, warnings)


def _tell_retraining_apart(rows: pd.DataFrame, plan: pd.DataFrame) -> None:
    """Where a method was retrained by several recipes in one setting, make the recipe one of its
    knobs there, so that each is a series. From one setting to the next a recipe may differ as the
    training recipe does."""
    same = [*SETTING, "method"]
    both = pd.concat([rows[[*same, "retrain"]], plan[[*same, "retrain"]]])
    several = (
        both.groupby(same, dropna=False)["retrain"].transform("nunique").gt(1)
        & both["retrain"].notna()
    )
    told = several.to_numpy()
    for frame, chosen in ((rows, told[: len(rows)]), (plan, told[len(rows) :])):
        pairs = list(zip(frame.loc[chosen, "knobs"], frame.loc[chosen, "retrain"], strict=True))
        names = {pair: _add_retraining(*map(str, pair)) for pair in set(pairs)}
        frame.loc[chosen, "knobs"] = [names[pair] for pair in pairs]


def _add_retraining(knobs: str, retrain: str) -> str:
    """Knobs with a recipe of retraining among them."""
    return json.dumps({**json.loads(knobs), "retrain": json.loads(retrain)}, sort_keys=True)


def _load_table(store: Store, table: str, warnings: list[str]) -> pd.DataFrame:
    """All files of one table, in the order of their keys."""
    again = "; run the study again and its trial is repeated" if table == "rows" else ""

    def read(path: str) -> pa.Table | str:
        try:
            found = decode(table, store.read(path))
        except FileNotFoundError:
            return f"skipped {first_line(path)}: it went away while the study was read"
        except DamagedTable as error:
            return f"skipped {first_line(path)}: not a readable Parquet file ({first_line(error)}){again}"
        if set(found["key"].unique().to_pylist()) - {
            path.removeprefix(f"{table}/").removesuffix(".parquet")
        }:
            return f"skipped {first_line(path)}: it is of another trial than its name says; delete it{again}"
        if table == "rows" and found["method"].null_count:
            return f"skipped {first_line(path)}: it names no method; delete it{again}"
        return found

    parts = store.spread(read, store.list(table, ".parquet"))
    warnings += [part for part in parts if isinstance(part, str)]
    tables = [part for part in parts if isinstance(part, pa.Table)]
    whole = pa.concat_tables(tables) if tables else TABLES[table].empty_table()
    # Nullable integers, so that one file without a column does not turn all counts into floats.
    frame: pd.DataFrame = whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _sort_keys(text: object) -> str:
    """JSON text with sorted keys; what is not JSON stays as it is."""
    if not isinstance(text, str) or not text:
        return "{}"
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def _explain(store: Store) -> str:
    """Why there is no study here, and where one is."""
    if is_remote(store.uri):
        return f"{store.place()} holds no study (neither study.yaml nor rows/)"
    folder = Path(store.uri)
    if not folder.exists():
        return f"no directory '{folder}'; give the study directory (--out of the study, default studies/<name>)"
    if not folder.is_dir():
        return f"'{folder}' is a file; give the study directory that it lies in"
    inside = sorted(path.parent for path in folder.glob("*/study.yaml"))
    hint = f"; did you mean '{inside[0]}'?" if inside else " (neither study.yaml nor rows/)"
    return f"'{folder}' is not a study directory{hint}"
