"""The candidates of a search as a data frame, and what its own files say: only where the directory
is a search's."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.reading.load import Study, load
from analysis.reading.plan_and_failures import read_text
from pruning.user_error import UserError
from trainables.storage.store import Store

FILE, BEST, BEST_FOLDER, FOLDER = "search.yaml", "best.yaml", "best", "candidates"
PLAIN: dict[str, Any] = {  # columns of every frame, with their values where a file lacks them
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
    """A search: `spec` as in search.yaml, one line of `candidates` for each, `best_text` the study
    file of the best.

    `candidates` has the columns of `PLAIN`, `reached` (the last validation accuracy, of the end
    where there is one), `share` (of its own training that it got to, 0 to 1), `early` (the
    validation accuracy after `rung` epochs), and one column for each dimension, null where its
    condition was not met. `rung`: after how many epochs the first candidates were stopped, 0 where
    none was.
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

    def at(self, sparsity: float) -> pd.DataFrame:
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
        found = self.spec["space"].get(name)
        return found if isinstance(found, dict) else {}


def find_search(study: Study) -> Search | None:
    """The search that a directory holds; None where it is a plain study's.

    What cannot be read is passed over and named in the study's warnings.
    """
    spec = read_text(study.store, FILE, study.warnings)
    if not isinstance(spec, dict) or not isinstance(spec.get("space"), dict):
        return None
    found = [_read(study.store, path, study.warnings) for path in study.store.list(FOLDER, ".json")]
    lines = [one for one in found if one is not None]
    frame = pd.DataFrame(lines, columns=[*PLAIN, "values", "configuration"])
    for name, value in PLAIN.items():
        if isinstance(value, float | int):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    last = [
        values[-1] if isinstance(values, list) and values else float("nan")
        for values in frame["values"]
    ]
    frame["reached"] = frame["val_top1"].fillna(pd.Series(last, index=frame.index, dtype=float))
    longest = float(frame["epochs"].max() or 1) if len(frame) else 1.0
    frame["share"] = (frame["epochs"] / max(longest, 1.0)).where(frame["outcome"] != "done", 1.0)
    stopped = frame.loc[frame["outcome"] == "stopped", "epochs"]
    rung = int(stopped.min()) if len(stopped) else 0
    frame["early"] = [
        float(values[rung - 1])
        if rung and isinstance(values, list) and len(values) >= rung
        else float("nan")
        for values in frame["values"]
    ]
    for name in spec["space"]:
        frame[name] = [
            one.get(name) if isinstance(one, dict) else None for one in frame["configuration"]
        ]
    frame = frame.drop(columns=["values", "configuration"]).sort_values(
        ["sparsity", "number"], ignore_index=True
    )
    return Search(spec, frame, _read_best(study.store), _load_best(study.store), rung)


def _read(store: Store, path: str, warnings: list[str]) -> dict[str, Any] | None:
    try:
        found = json.loads(store.read(path))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        warnings.append(f"skipped {path}: it is no record of a candidate")
        return None
    known = {**PLAIN, "values": [], "configuration": {}}
    return {name: found.get(name, value) for name, value in known.items()}


def _read_best(store: Store) -> str:
    try:
        return store.read(BEST).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _load_best(store: Store) -> Study | None:
    """The study of the best, where it has rows."""
    try:
        study = load(store.below(BEST_FOLDER))
    except UserError:
        return None
    return study if len(study.rows) else None
