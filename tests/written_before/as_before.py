"""Study directories that an earlier version wrote: what was finished stays so, what was stopped
goes on where it stood.

The directories in this folder were written by commit 3507c56135ce, before the packages were
rearranged; `study.yaml` and `search.yaml` there are what its commands were given, and `made_on.txt`
says on which arithmetic. Where this machine computes alike, all that is measured must come out bit
for bit; elsewhere floating point differs in its last bits, so that accuracies and losses are
compared within `TOLERANCES`, and all that is counted is equal all the same. So they are for Adam
everywhere: its last bits show that learning rates are rounded to fp32 since decision 23.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_reader import read_study_file
from trainables.storage import parquet_tables, schema
from trainables.storage.store import Store

WRITTEN = Path(__file__).resolve().parent

# By table, on another arithmetic. AVX2, and none of AVX, differed by 1.4 points, by 0.002 in
# losses, and in no count.
TOLERANCES: dict[str, dict[str, float]] = {
    "rows": {
        "test_top1": 6,
        "test_top5": 6,
        "val_top1": 6,
        "test_loss": 0.1,
        "effective_macs": 300,
    },
    "curves": {"top1": 6, "loss": 0.1},
    "layers": {"nonzero": 10},
}

ADDED_SINCE = {
    "test_images",
    "prunable",
    "zeros",
    "product_macs",
    "exclude",
    "layer_sparsity",
    "train_macs",
    "ranks",
    "schema_version",
}  # columns, and the number that says so


def arithmetic() -> str:
    """What decides the last bits of a result on a CPU: its model, the instructions in use, and the
    version of torch."""
    try:
        processor = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        processor = []
    told = ("vendor_id", "cpu family", "model", "model name", "stepping", "cache size", "flags")
    lines = [line for line in processor if line.split("\t")[0] in told]
    lines += [torch.__version__, torch.backends.cpu.get_cpu_capability()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


ALIKE = arithmetic() == (WRITTEN / "made_on.txt").read_text().strip()


def read_study(**changes: Any) -> tuple[StudySpec, Plan]:
    spec = build_study({**read_study_file(WRITTEN / "study.yaml"), **changes}, where="study.yaml")
    return spec, make_plan(spec)


def table(folder: Path, name: str, key: str) -> list[dict[str, Any]]:
    return list(
        parquet_tables.decode_table(
            name, Store.at(folder).read(f"{name}/{key}.parquet")
        ).to_pylist()
    )


@functools.cache
def by_adam() -> frozenset[str]:
    """The trials that train with Adam."""
    trials = read_study()[1].by_key.items()
    return frozenset(key for key, trial in trials if trial.spec.recipe.optimizer == "adam")


def lasting(name: str, row: dict[str, Any], *, exactly: bool) -> dict[str, Any]:
    """What must be as it was: without what says when and where, and without the last bits unless
    `exactly`."""
    left_out = {*schema.CIRCUMSTANCES, *ADDED_SINCE} | (set() if exactly else {"digest"})
    near = {} if exactly else dict(TOLERANCES[name])
    if "/random/" in row["key"]:
        near.pop("nonzero", None)  # drawn, not ranked: the same masks everywhere
    return {
        column: pytest.approx(value, abs=near[column])
        if column in near and value is not None
        else value
        for column, value in row.items()
        if column not in left_out
    }


def assert_as_before(
    name: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    """All columns that are measured or counted, row by row."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        exactly = ALIKE and other["key"] not in by_adam()
        wanted = lasting(name, other, exactly=exactly)
        differing = {name: (one[name], was) for name, was in wanted.items() if one[name] != was}
        assert not differing, ("bit for bit" if exactly else "within tolerances", differing)
