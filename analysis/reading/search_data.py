"""A search as data: its candidates as a data frame, and what its own files say; only where a
directory holds a search."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.reading.load import Study, load_study
from analysis.reading.plan_and_failures import read_yaml_or_json
from pruning.user_error import UserError
from trainables.storage import layout
from trainables.storage.store import Store

# Columns of every frame of candidates, with the values where a file lacks them.
CANDIDATE_COLUMNS: dict[str, Any] = {
    "sparsity": float("nan"),
    "number": -1,
    "key": "",
    "outcome": "",
    "val_top1": float("nan"),
    "effective_macs": float("nan"),
    "sparsity_reached": float("nan"),
    "emptied_layers": "",
    "epochs": 0,
    "seconds": 0.0,
    "score": float("nan"),
    "ended": float("nan"),
    "images": float("nan"),
    "error": "",
    "parent": float("nan"),
    "cloned_at": float("nan"),
}


@dataclass(frozen=True)
class Search:
    """A search: `spec` is the content of search.yaml, `candidates` has one row per candidate,
    `best_text` is the study file of the best.

    Beside `CANDIDATE_COLUMNS`, the candidates have the columns `reached` (the validation accuracy
    at the end, else the last one known), `share` (how much of the whole training it got, 0 to 1),
    `early` (the validation accuracy after `rung` epochs), and one column per dimension, null where
    its condition was not met. `rung`: after how many epochs the first candidates were stopped, 0
    where none was.
    """

    spec: dict[str, Any]
    candidates: pd.DataFrame
    best_text: str
    best: Study | None
    rung: int = 0

    @property
    def dimensions(self) -> list[str]:
        """What was searched, in the order of the file."""
        space = self.spec.get("space")
        return [str(name) for name in space] if isinstance(space, dict) else []

    @cached_property
    def sparsities(self) -> list[float]:
        """The sparsities that were searched, rising."""
        return sorted(self.candidates["sparsity"].dropna().unique())

    def candidates_at(self, sparsity: float) -> pd.DataFrame:
        """The candidates at one sparsity."""
        return self.candidates[self.candidates["sparsity"] == sparsity]

    def is_log(self, name: str) -> bool:
        """Whether a dimension is searched on a log scale."""
        return bool(self._dimension(name).get("log_range"))

    def choices(self, name: str) -> list[Any]:
        """The choices of a dimension; none where it is a range."""
        return list(self._dimension(name).get("choices") or [])

    def is_number(self, name: str) -> bool:
        """Whether the values of a dimension are numbers."""
        values = self.choices(name)
        return all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )

    def _dimension(self, name: str) -> dict[str, Any]:
        dimension = self.spec["space"].get(name)
        return dimension if isinstance(dimension, dict) else {}


def load_search(study: Study) -> Search | None:
    """The search that a directory holds; None where it holds a plain study.

    What cannot be read is passed over and named in the study's warnings.
    """
    spec = read_yaml_or_json(study.store, layout.SEARCH_FILE, study.warnings)
    if not isinstance(spec, dict) or not isinstance(spec.get("space"), dict):
        return None
    candidates = _read_candidates(study.store, study.warnings)
    stopped = candidates.loc[candidates["outcome"] == "stopped", "epochs"]
    rung = int(stopped.min()) if len(stopped) else 0
    candidates = _add_progress(candidates, rung)
    for name in spec["space"]:
        candidates[name] = [
            configuration.get(name) if isinstance(configuration, dict) else None
            for configuration in candidates["configuration"]
        ]
    candidates = candidates.drop(columns=["values", "configuration"]).sort_values(
        ["sparsity", "number"], ignore_index=True
    )
    return Search(spec, candidates, _read_best_file(study.store), _load_best(study.store), rung)


def _read_candidates(store: Store, warnings: list[str]) -> pd.DataFrame:
    """One row per candidate, with `CANDIDATE_COLUMNS`, `values` (the validation accuracy after each
    epoch) and `configuration`."""
    paths = store.list(layout.CANDIDATES, ".json")
    records = [_read_candidate(store, path, warnings) for path in paths]
    frame = pd.DataFrame(
        [record for record in records if record is not None],
        columns=[*CANDIDATE_COLUMNS, "values", "configuration"],
    )
    for name, value in CANDIDATE_COLUMNS.items():
        if isinstance(value, float | int):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame


def _read_candidate(store: Store, path: str, warnings: list[str]) -> dict[str, Any] | None:
    """The record of a candidate; None where it is gone or cannot be read."""
    try:
        record = json.loads(store.read(path))
    except FileNotFoundError:
        return None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        warnings.append(f"skipped {path}: it is no record of a candidate")
        return None
    defaults = {**CANDIDATE_COLUMNS, "values": [], "configuration": {}}
    return {name: record.get(name, value) for name, value in defaults.items()}


def _add_progress(candidates: pd.DataFrame, rung: int) -> pd.DataFrame:
    """Candidates with `reached`, `share` and `early`, see `Search`."""
    curves = [values if isinstance(values, list) else [] for values in candidates["values"]]
    last = [values[-1] if values else float("nan") for values in curves]
    last_values = pd.Series(last, index=candidates.index, dtype=float)
    longest = float(candidates["epochs"].max() or 1) if len(candidates) else 1.0
    share = candidates["epochs"] / max(longest, 1.0)
    early = [
        float(values[rung - 1]) if rung and len(values) >= rung else float("nan")
        for values in curves
    ]
    return candidates.assign(
        reached=candidates["val_top1"].fillna(last_values),
        share=share.where(candidates["outcome"] != "done", 1.0),
        early=early,
    )


def _read_best_file(store: Store) -> str:
    """The study file of the best; empty where there is none."""
    try:
        return store.read(layout.BEST_FILE).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _load_best(store: Store) -> Study | None:
    """The study in which the best was trained anew, where it has rows."""
    try:
        study = load_study(store.below(layout.BEST))
    except UserError:
        return None
    return study if len(study.rows) else None
