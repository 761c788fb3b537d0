"""A study directory as data frames: what was measured, what was planned, what failed.

The directory may belong to a study that still runs: files appear while we read, and whatever cannot be read is skipped
and named in `warnings`.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from trainables.record import SCHEMA_VERSION, TABLES, decode
from trainables.store import Store, is_remote

THREADS = {"local": 4, "remote": 32}  # a disk is bound by decoding, a bucket by waiting
PLAN_COLUMNS = ("key", "dataset", "model", "method", "knobs", "recipe", "retrain", "seed", "sparsities", "parents")


class NotAStudyError(ValueError):
    """A path that holds no study; the message is one line for the user."""


@dataclass(frozen=True)
class Failure:
    """A trial that gave up, from `failures/<key>.json`; `error` is one line."""

    key: str
    error: str
    attempts: int
    traceback: str = ""
    finished: str = ""


@dataclass(frozen=True)
class Study:
    """Everything known of a study; `rows` and `plan` are empty frames with all columns where there is nothing yet.

    `rows` has the columns of `trainables.record.ROWS`; `plan` one row per planned trial with `PLAN_COLUMNS`. In both,
    `knobs` and `recipe` are JSON with sorted keys, so that equal settings are equal texts.
    """

    store: Store
    name: str
    rows: pd.DataFrame
    plan: pd.DataFrame
    failures: tuple[Failure, ...]
    spec: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The learning curves, read when first asked for; unreadable files are added to `warnings`."""
        return _load_table(self.store, "curves", self.warnings)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The layers of every measured level, read when first asked for; unreadable files are added to `warnings`."""
        return _load_table(self.store, "layers", self.warnings)


def load(place: Store | str | Path) -> Study:
    """Read a study directory, given as a path, a URI such as `s3://bucket/study`, or a store.

    Raises:
        NotAStudyError: there is no such directory, or it holds neither `study.yaml`, nor `plan.json`, nor rows.
    """
    store = place if isinstance(place, Store) else Store.at(place)
    warnings: list[str] = []
    spec = _parse(store, "study.yaml", yaml.safe_load, warnings)
    planned = _parse(store, "plan.json", json.loads, warnings)
    rows = _load_table(store, "rows", warnings)
    if spec is None and planned is None and rows.empty and not warnings:
        raise NotAStudyError(_explain(store))
    newest = rows["schema_version"].max() if len(rows) else SCHEMA_VERSION
    if pd.notna(newest) and newest > SCHEMA_VERSION:
        warnings.append(f"rows of schema version {newest} are read as version {SCHEMA_VERSION}; newer columns are lost")
    plan = _read_plan(planned, warnings)
    for frame in (rows, plan):
        for column in ("knobs", "recipe"):
            frame[column] = frame[column].map({text: _sort_keys(text) for text in frame[column].unique()}).astype("str")
    _tell_retraining_apart(rows, plan)
    spec = spec if isinstance(spec, dict) else {}
    name = str(spec.get("name") or store.uri.rstrip("/").rsplit("/", 1)[-1])
    return Study(store, name, rows, plan, _read_failures(store, warnings), spec, warnings)


def _tell_retraining_apart(*frames: pd.DataFrame) -> None:
    """Where one method was retrained by several recipes, make the recipe one of its knobs, so that each is a series."""
    both = pd.concat([frame[["method", "retrain"]] for frame in frames])
    several = both.dropna().groupby("method")["retrain"].nunique()
    for frame in frames:
        for index in frame.index[frame["method"].isin(several.index[several > 1]) & frame["retrain"].notna()]:
            knobs = {
                **json.loads(str(frame.at[index, "knobs"])),
                "retrain": json.loads(str(frame.at[index, "retrain"])),
            }
            frame.at[index, "knobs"] = json.dumps(knobs, sort_keys=True)


def _load_table(store: Store, table: str, warnings: list[str]) -> pd.DataFrame:
    """All files of one table, in the order of their keys."""

    def read(path: str) -> pa.Table | str:
        try:
            return _read_parquet(table, store.read(path))
        except FileNotFoundError:
            return f"skipped {path}: it went away while the study was read"
        except (pa.ArrowException, OSError, ValueError) as error:
            return f"skipped {path}: not a readable Parquet file ({_first_line(error)})"

    with ThreadPoolExecutor(THREADS["remote" if is_remote(store.uri) else "local"]) as pool:
        parts = list(pool.map(read, store.list(table, ".parquet")))
    warnings += [part for part in parts if isinstance(part, str)]
    tables = [part for part in parts if isinstance(part, pa.Table)]
    whole = pa.concat_tables(tables) if tables else TABLES[table].empty_table()
    # Nullable integers, so that one file without a column does not turn all counts into floats.
    frame: pd.DataFrame = whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _read_parquet(table: str, content: bytes) -> pa.Table:
    """One file in today's schema. The usual case, a file that has it already, is read without dataset machinery and
    casts, which take 2/3 of the time for a file with one row."""
    found = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    return found if found.schema.equals(TABLES[table]) else decode(table, content)


def _parse(store: Store, path: str, parse: Callable[[bytes], object], warnings: list[str]) -> object:
    """A parsed text file, or None where it is absent or broken."""
    if not store.exists(path):
        return None
    try:
        return parse(store.read(path))
    except (ValueError, OSError, yaml.YAMLError) as error:
        warnings.append(f"skipped {path}: {_first_line(error)}")
        return None


def _read_plan(planned: object, warnings: list[str]) -> pd.DataFrame:
    """The plan as a frame, one row per trial."""
    trials = planned.get("trials", []) if isinstance(planned, dict) else []
    if planned is None:
        warnings.append("there is no readable plan.json: trials that are missing cannot be named")
    plan = pd.DataFrame([{column: trial.get(column) for column in PLAN_COLUMNS} for trial in trials])
    return plan.reindex(columns=list(PLAN_COLUMNS))


def _read_failures(store: Store, warnings: list[str]) -> tuple[Failure, ...]:
    """All failure files, in the order of their keys."""
    failures = []
    for path in store.list("failures", ".json"):
        found = _parse(store, path, json.loads, warnings)
        if isinstance(found, dict):
            key = str(found.get("key") or path.removeprefix("failures/").removesuffix(".json"))
            error = _first_line(found.get("error") or "no reason was recorded")
            failures.append(
                Failure(
                    key,
                    error,
                    int(found.get("attempts") or 1),
                    str(found.get("traceback") or ""),
                    str(found.get("finished") or ""),
                )
            )
    return tuple(failures)


def _sort_keys(text: object) -> str:
    """JSON text with sorted keys; what is not JSON stays as it is."""
    if not isinstance(text, str) or not text:
        return "{}"
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _explain(store: Store) -> str:
    """Why there is no study here, and where one is."""
    if is_remote(store.uri):
        return f"{store.uri} holds no study (neither study.yaml nor rows/)"
    folder = Path(store.uri)
    if not folder.exists():
        return f"no directory '{folder}'; give the study directory (--out of the study, default studies/<name>)"
    if not folder.is_dir():
        return f"'{folder}' is a file; give the study directory that it lies in"
    inside = sorted(path.parent for path in folder.glob("*/study.yaml"))
    hint = f"; did you mean '{inside[0]}'?" if inside else " (neither study.yaml nor rows/)"
    return f"'{folder}' is not a study directory{hint}"
