"""Made-up studies for the tests of `analysis`: plausible accuracies, written as a real study writes
them."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import yaml

from analysis.columns import LATENCY_BATCHES, LATENCY_COLUMNS, START
from trainables.storage.parquet_tables import encode_table
from trainables.storage.store import Store

PARAMS = 11_173_962
PRUNABLE = 11_164_352
MACS = 556_650_000
LEVELS = tuple(1 - 0.8**level for level in range(1, 11))
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)

# Points lost at density d: a * (-log10 d)^b
LOSSES = {
    "magnitude": (1.6, 2.6),
    "lottery_ticket": (1.0, 2.0),
    "synflow": (1.3, 2.0),
    "random": (5.5, 2.0),
}


def make_accuracy(method: str, sparsity: float, seed: int, *, shift: float = 0.0) -> float:
    """A test accuracy in percent: the dense one of this seed, less what the method loses, plus
    noise."""
    rng = np.random.default_rng([seed, int(sparsity * 1e6), *method.encode()])
    dense = 94.6 + np.random.default_rng(seed).normal(0, 0.15)
    if method == "dense":
        return float(dense)
    factor, power = LOSSES.get(method, (2.0, 2.0))
    lost = factor * (-np.log10(1 - sparsity)) ** power
    return float(max(10.0, dense - lost - shift + rng.normal(0, 0.15 + 0.05 * lost)))


def make_row(method: str, sparsity: float, seed: int, **columns: object) -> dict[str, object]:
    """One row as a trial writes it."""
    kept = round((1 - sparsity) * PRUNABLE)
    accuracy = make_accuracy(
        method, sparsity, seed, shift=0.6 if columns.get("knobs", "{}") != "{}" else 0.0
    )
    return {
        "study": "synthetic",
        "dataset": "cifar10",
        "model": "resnet18",
        "method": method,
        "knobs": "{}",
        "recipe": "{}",
        "sparsity": sparsity,
        "seed": seed,
        "level": 0 if method == "dense" else 1,
        "stage": "final",
        "test_top1": accuracy,
        "test_top5": 100 - (100 - accuracy) / 10,
        "test_loss": (100 - accuracy) / 25,
        "val_top1": accuracy - 0.2,
        "params": PARAMS,
        "nonzero": PARAMS - PRUNABLE + kept,
        "sparsity_reached": 1 - kept / PRUNABLE,
        "macs": MACS,
        "effective_macs": MACS * (1 - sparsity) ** 0.9,
        "bytes": PARAMS * 4,
        "epochs": 160,
        "train_seconds": 900.0,
        "attempts": 1,
        "connected": True,
        "commit": "5b85ed8",
        "schema_version": 1,
    } | columns


def make_own_rows(
    method: str, reached: Sequence[float], seed: int, **columns: object
) -> list[dict[str, object]]:
    """The rows of a trial whose method decides how much it prunes: nothing is requested, level k
    reached `reached`."""
    rows = [make_row(method, s, seed, level=level, **columns) for level, s in enumerate(reached, 1)]
    return [
        row | {"sparsity": None, "sparsity_reached": s}
        for row, s in zip(rows, reached, strict=True)
    ]


def make_times(row: dict[str, object], key: str) -> list[dict[str, object]]:
    """What `--measure` writes for a row that has latencies, e.g. `latency_ms_b1`; nothing for one
    without."""
    same = {
        "key": key,
        "level": row["level"],
        "stage": row["stage"],
        "device": "cpu",
        "threads": 1,
        "precision": "fp32",
    }
    form = "dense" if row["method"] == "dense" else "masked"
    return [
        same
        | {
            "form": form,
            "batch": batch,
            "median_ms": row[name],
            "iqr_ms": row.get(f"latency_iqr_ms_b{batch}"),
        }
        for batch in LATENCY_BATCHES
        if (name := f"latency_ms_b{batch}") in row
    ]


def make_key(row: dict[str, object]) -> str:
    """A trial's key, in the form of a real one."""
    identity = [row["knobs"], row["recipe"], *(row[name] for name in START if row.get(name))]
    digest = f"{crc32(repr(tuple(identity)).encode()):08x}"
    where = "levels" if row["method"] == "lottery_ticket" else "own"
    if where == "own" and row["sparsity"] is not None:
        where = f"s{row['sparsity']:.3f}"
    dataset = re.sub(r"[^A-Za-z0-9_.]+", "_", str(row["dataset"]))
    return f"{dataset}-{row['model']}/{row['method']}/{where}/seed{row['seed']}-{digest}"


def write_table(folder: Path, table: str, key: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Write a trial's part of a table and return its bytes; not by the store, whose file system
    syncs would take most of the time."""
    content = _encode_once(table, json.dumps(rows))
    path = folder / f"{table}/{key}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


@cache
def _encode_once(table: str, rows: str) -> bytes:
    """The same trials stand in many studies."""
    return encode_table(table, json.loads(rows))


class Writer:
    """Collects the trials of a made-up study and writes them to a directory."""

    def __init__(
        self, folder: Path, *, name: str = "synthetic", seeds: Sequence[int] = (42, 43, 44)
    ) -> None:
        self.folder = folder
        self.store = Store.at(folder)
        self.trials: list[dict[str, object]] = []
        self.cards: dict[str, dict[str, object]] = {}
        self.store.write(
            "study.yaml", yaml.safe_dump({"name": name, "seeds": list(seeds)}).encode()
        )

    def add(
        self,
        rows: list[dict[str, object]],
        *,
        outcome: str = "done",
        parents: Sequence[str] = (),
        plan: bool = True,
    ) -> str:
        """Plan a trial that measures `rows`; outcome: done, failed, broken (its file is cut off) or
        missing."""
        key = make_key(rows[0])
        asked = list(dict.fromkeys(row["sparsity"] for row in rows if row["sparsity"] is not None))
        if plan:
            self.trials.append(
                {
                    name: rows[0][name]
                    for name in ("dataset", "model", "method", "knobs", "recipe", "seed")
                }
                | {name: rows[0].get(name) for name in START}
                | {
                    "key": key,
                    "retrain": rows[0].get("retrain"),
                    "sparsities": asked,
                    "parents": list(parents),
                }
            )
        plain = [
            {name: value for name, value in row.items() if name not in LATENCY_COLUMNS}
            for row in rows
        ]
        if timed := [time for row in rows for time in make_times(row, key)]:
            write_table(self.folder, "latency", key, timed)
        match outcome:
            case "done" | "broken":
                content = write_table(
                    self.folder, "rows", key, [row | {"key": key} for row in plain]
                )
                if outcome == "broken":
                    cut = content[: len(content) // 2]
                    (self.folder / f"rows/{key}.parquet").write_bytes(cut)
            case "failed":
                report = {
                    "key": key,
                    "error": "RuntimeError: CUDA out of memory",
                    "traceback": "...",
                    "attempts": 3,
                }
                self.store.write(
                    f"failures/{key}.json", json.dumps(report | {"finished": "2026-01-01"}).encode()
                )
        return key

    def finish(self) -> Path:
        """Write the plan."""
        self.store.write(
            "plan.json", json.dumps({"trials": self.trials, "cards": self.cards}).encode()
        )
        return self.folder


def write_study(
    folder: Path,
    *,
    methods: Sequence[str] = ("magnitude", "synflow", "lottery_ticket", "random"),
    seeds: Sequence[int] = (42, 43, 44),
    sparsities: Sequence[float] = SPARSITIES,
    setting: dict[str, object] | None = None,
    gaps: bool = False,
) -> Path:
    """A study with every method, sparsity and seed.

    With `gaps`: synflow at the highest sparsity fails for the last seed; magnitude at 0.9 is
    missing for the last seed; the dense training of one more seed failed, and its children were not
    run; one file is broken.
    """
    writer = Writer(folder, seeds=seeds)
    same = setting or {}
    for seed in seeds:
        dense = writer.add([make_row("dense", 0.0, seed, **same)])
        for method in methods:
            if method == "lottery_ticket":
                rows = [
                    make_row(method, s, seed, level=level, **same)
                    for level, s in enumerate(LEVELS, 1)
                ]
                writer.add(rows, parents=[dense])
                continue
            for sparsity in sparsities:
                last = gaps and seed == seeds[-1]
                outcome = (
                    "failed"
                    if last and (method, sparsity) == ("synflow", sparsities[-1])
                    else "done"
                )
                if last and (method, sparsity) == ("magnitude", 0.9):
                    outcome = "missing"
                if last and (method, sparsity) == ("random", 0.5):
                    outcome = "broken"
                writer.add(
                    [make_row(method, sparsity, seed, **same)], outcome=outcome, parents=[dense]
                )
    if gaps:
        dense = writer.add([make_row("dense", 0.0, 99, **same)], outcome="failed")
        writer.add([make_row("magnitude", 0.5, 99, **same)], outcome="missing", parents=[dense])
    return writer.finish()
