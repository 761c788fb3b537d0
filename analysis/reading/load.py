"""A study directory as data frames: what was measured, what was planned, what failed.

The directory may belong to a study that still runs: files appear while we read, and whatever cannot
be read is skipped and named in `warnings`.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.columns import SETTING, START
from analysis.reading.join_latency import join_latency, warn_of_unlike_latencies
from analysis.reading.plan_and_failures import (
    Failure,
    check_study_file,
    first_line,
    read_failures,
    read_plan,
    read_yaml_or_json,
)
from analysis.reading.stale_rows import (
    drop_rows_of_old_method_files,
    drop_rows_of_old_sparsity_lists,
    drop_rows_of_repeated_trials,
)
from pruning.user_error import UserError, find_nearest, list_some
from trainables.storage import layout
from trainables.storage.parquet_tables import DamagedTable, decode_table
from trainables.storage.schema import SCHEMA_VERSION, TABLES
from trainables.storage.store import Store, is_remote


@dataclass(frozen=True)
class Study:
    """Everything known of a study; `rows` and `plan` are empty frames with all columns where there
    is nothing yet.

    `rows` has the columns of `trainables.storage.schema.ROW_SCHEMA` and those of
    `analysis.reading.join_latency`, null where nothing was timed; `plan` one row per planned trial
    with `PLAN_COLUMNS`. In both, `knobs` and `recipe` are JSON with sorted keys, so that equal
    values are equal texts. `cards` has for every planned method its card (title, paper, summary,
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
        return layout.make_file_name(self.name) or "study"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The learning curves, read at the first use; unreadable files are added to `warnings`."""
        return _load_table(self.store, layout.CURVES, self.warnings)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The layers of every measured level, read at the first use; unreadable files are added to
        `warnings`."""
        return _load_table(self.store, layout.LAYERS, self.warnings)


def load_study(place: Store | str | Path) -> Study:
    """Read a study directory, given as a path, a URI such as `s3://bucket/study`, or a store.

    Raises:
        UserError: there is no such directory, or it holds neither `study.yaml`, nor `plan.json`,
            nor rows.
    """
    store = place if isinstance(place, Store) else Store.at(place)
    warnings: list[str] = []
    spec = read_yaml_or_json(store, layout.STUDY_FILE, warnings)
    planned = read_yaml_or_json(store, layout.PLAN_FILE, warnings)
    rows = drop_rows_of_old_method_files(
        _load_table(store, layout.ROWS, warnings), planned, warnings
    )
    latency = _load_table(store, layout.LATENCY, warnings)
    warn_of_unlike_latencies(rows, latency, warnings)
    rows = join_latency(rows, latency)
    if spec is None and planned is None and rows.empty and not warnings:
        raise UserError(_explain(store))
    _warn_of_newer_schema(rows, warnings)
    plan = read_plan(planned, warnings)
    for frame in (rows, plan):
        _add_start_to_recipe(frame)
        for column in ("knobs", "recipe"):
            with_sorted_keys = {text: _sort_keys(text) for text in frame[column].unique()}
            if any(text != sorted_text for text, sorted_text in with_sorted_keys.items()):
                frame[column] = frame[column].map(with_sorted_keys)
            frame[column] = frame[column].astype("str")
    _name_retrain_recipes(rows, plan)
    rows = drop_rows_of_old_sparsity_lists(rows, plan, warnings)
    rows = drop_rows_of_repeated_trials(rows, plan, warnings)
    spec = check_study_file(spec, warnings)
    name = str(spec.get("name") or store.place().rstrip("/").rsplit("/", 1)[-1])
    failures = read_failures(store, warnings)
    return Study(store, name, rows, plan, failures, spec, _find_cards(planned), warnings)


def _add_start_to_recipe(frame: pd.DataFrame) -> None:
    """Make what trials begin with, given weights and the form of images, fields of their recipe, so
    that settings that differ in it are held apart."""
    if not frame[START].notna().any(axis=None):
        return
    settings = frame[["recipe", *START]].astype(object)
    settings = settings.where(settings.notna(), None)  # NaN equals nothing, not even itself
    named = list(settings.itertuples(index=False, name=None))
    recipes = {setting: _join_start(*setting) for setting in set(named)}
    frame["recipe"] = pd.Series([recipes[setting] for setting in named], frame.index, dtype=object)


def _join_start(recipe: Any, weights: Any, normalise: Any, image_size: Any) -> Any:
    """A recipe as JSON with what its trials begin with; damaged text stays as it is."""
    start = {"weights": weights, "normalise": normalise}
    try:
        fields = {name: value for name, value in start.items() if value is not None}
        if image_size is not None:
            fields["image_size"] = int(image_size)
        return json.dumps({**json.loads(recipe), **fields}) if fields else recipe
    except (TypeError, ValueError):
        return recipe


def _warn_of_newer_schema(rows: pd.DataFrame, warnings: list[str]) -> None:
    """Say so where rows were written by a newer version of the project."""
    newest = rows["schema_version"].max() if len(rows) else SCHEMA_VERSION
    if pd.notna(newest) and newest > SCHEMA_VERSION:
        newer = rows.loc[rows["schema_version"] > SCHEMA_VERSION, "key"].unique()
        warnings.append(
            f"rows of schema version {newest} are read as version {SCHEMA_VERSION}, without newer "
            "columns: update this project to see them "
            f"({len(newer)} files, e.g. {layout.table_file(layout.ROWS, newer[0])})"
        )


def _find_cards(planned: object) -> dict[str, dict[str, object]]:
    """The cards of the methods in `plan.json`, without what is damaged of them."""
    cards = planned.get("cards") if isinstance(planned, dict) else None
    if not isinstance(cards, dict):
        return {}
    return {str(method): card for method, card in cards.items() if isinstance(card, dict)}


def _name_retrain_recipes(rows: pd.DataFrame, plan: pd.DataFrame) -> None:
    """Where a method was retrained by several recipes in one setting, make the recipe one of its
    knobs there, so that each is a series of its own. From one setting to the next the retrain
    recipe may differ without being named, as the training recipe does."""
    method = [*SETTING, "method"]
    both = pd.concat([rows[[*method, "retrain"]], plan[[*method, "retrain"]]])
    recipes = both.groupby(method, dropna=False)["retrain"].transform("nunique")
    named = (recipes.gt(1) & both["retrain"].notna()).to_numpy()
    for frame, chosen in ((rows, named[: len(rows)]), (plan, named[len(rows) :])):
        pairs = list(zip(frame.loc[chosen, "knobs"], frame.loc[chosen, "retrain"], strict=True))
        knobs = {pair: _add_retrain_recipe(*map(str, pair)) for pair in set(pairs)}
        frame.loc[chosen, "knobs"] = [knobs[pair] for pair in pairs]


def _add_retrain_recipe(knobs: str, retrain: str) -> str:
    """Knobs with the retrain recipe among them."""
    return json.dumps({**json.loads(knobs), "retrain": json.loads(retrain)}, sort_keys=True)


def _load_table(store: Store, table: str, warnings: list[str]) -> pd.DataFrame:
    """All files of one table, in the order of their keys; files that cannot be used are skipped and
    named in `warnings`."""

    def read(path: str) -> pa.Table | str:
        content, damage = _read_table_file(store, table, path)
        return content if content is not None else f"skipped {first_line(path)}: {damage}"

    parts = store.parallel_map(read, store.list(table, ".parquet"))
    warnings += [part for part in parts if isinstance(part, str)]
    tables = [part for part in parts if isinstance(part, pa.Table)]
    whole = pa.concat_tables(tables) if tables else TABLES[table].empty_table()
    # Nullable integers, so that one file without a column does not turn all counts into floats.
    frame: pd.DataFrame = whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _read_table_file(store: Store, table: str, path: str) -> tuple[pa.Table | None, str]:
    """The content of one file of a table; None, and why, where it cannot be used."""
    again = "; run the study again and its trial is repeated" if table == layout.ROWS else ""
    try:
        content = decode_table(table, store.read(path))
    except FileNotFoundError:
        return None, "it went away while the study was read"
    except DamagedTable as error:
        return None, f"not a readable Parquet file ({first_line(error)}){again}"
    if set(content["key"].unique().to_pylist()) - {layout.table_key(table, path)}:
        return None, f"it is of another trial than its name says; delete it{again}"
    if table == layout.ROWS and content["method"].null_count:
        return None, f"it names no method; delete it{again}"
    return content, ""


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
        near = find_nearest(folder.name, [study.name for study in _list_studies(folder.parent)])
        hint = f"; did you mean '{folder.with_name(near)}'?" if near else ""
        return (
            f"no directory '{folder}'; give the study directory "
            f"(--out of the study, default studies/<name>){hint}"
        )
    if not folder.is_dir():
        return f"'{folder}' is a file; give the study directory that it lies in"
    inside = [f"'{study}'" for study in _list_studies(folder)]
    if len(inside) > 1:
        return f"'{folder}' is not a study directory; it holds {list_some(inside)}"
    hint = f"; did you mean {inside[0]}?" if inside else " (neither study.yaml nor rows/)"
    return f"'{folder}' is not a study directory{hint}"


def _list_studies(folder: Path) -> list[Path]:
    """The study directories in a folder: those with rows first, then the newest first."""
    files = list(folder.glob(f"*/{layout.STUDY_FILE}"))
    files.sort(key=lambda file: (not (file.parent / layout.ROWS).is_dir(), -file.stat().st_mtime))
    return [file.parent for file in files]
