"""A study directory with damaged files: each is named, the rest is analysed, and what is missing is
said."""

import io
import json
import shutil
import struct
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.reading.load import Study, load
from analysis.reading.missing_trials import find_gaps
from analysis.reading.plan_and_failures import check_spec, read_failures, read_plan, read_text
from analysis.statistics.device_time import find_device
from tests.analysis.synthetic import Writer, make_key, make_row
from trainables.storage.parquet_tables import TABLES, encode
from trainables.storage.store import Store

ROWS = [make_row("magnitude", sparsity, seed) for sparsity in (0.5, 0.9) for seed in (1, 2)]
KEYS = [make_key(row) for row in ROWS]
SPEC: dict[str, Any] = {
    "name": "whole",
    "description": "d",
    "dataset": "cifar10",
    "model": "resnet18",
    "recipe": {"epochs": 3},
    "retrain": {},
    "methods": [{"name": "magnitude"}],
    "sparsities": [0.5, 0.9],
    "seeds": [1, 2],
    "also": [],
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0},
    "published": [
        {
            **dict.fromkeys(("dataset", "model", "method", "source"), "x"),
            "sparsity": 0.5,
            "value": 90.0,
        }
    ],
}
RECORDS: dict[str, dict[str, Any]] = {
    "curves": {"epoch": 0, "phase": "train", "split": "train", "loss": 1.0, "top1": 50.0},
    "layers": {"level": 1, "stage": "final", "layer": "a", "weights": 9, "nonzero": 3},
    "latency": {
        "level": 1,
        "stage": "final",
        "form": "masked",
        "batch": 1,
        "median_ms": 1.0,
        "runs": 9,
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A whole study of four trials, one of them failed."""
    writer = Writer(tmp_path_factory.mktemp("whole"))
    for row in ROWS[:3]:
        writer.add([row])
    writer.add([ROWS[3]], outcome="failed")
    store = Store.at(writer.finish())
    store.write("study.yaml", yaml.safe_dump(SPEC).encode())
    for table, record in RECORDS.items():
        for key in KEYS[:3]:
            store.write(f"{table}/{key}.parquet", encode(table, [{"key": key, **record}]))
    study = load(store)
    assert study.warnings == [] and len(study.rows) == 3
    return study


@pytest.fixture
def store(whole: Study, tmp_path: Path) -> Store:
    """A copy of it to be damaged."""
    return Store.at(shutil.copytree(whole.store.uri, tmp_path / "study"))


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def flip(content: bytes) -> bytes:
    """One bit of the keys: of the data, which begin with their length, not of the statistics before
    them."""
    at = content.index(struct.pack("<I", len(KEYS[0])) + KEYS[0].encode()) + 4
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[str, bytes], bytes]] = {
    "nothing in it": lambda table, content: b"",
    "cut off": lambda table, content: content[: len(content) // 2],
    "a shorter end": lambda table, content: content[:-1],
    "a flipped bit": lambda table, content: flip(content),
    "another format": lambda table, content: b"<html>not found</html>",
    "other Parquet": lambda table, content: parquet(pa.table({"a": [1], "b": ["x"]})),
    "another table": lambda table, content: encode("layers" if table == "curves" else "curves", [{"key": KEYS[0], "epoch" if table != "curves" else "level": 1}]),
    "without keys": lambda table, content: parquet(pq.read_table(io.BytesIO(content)).drop_columns(["key"])),
    "a renamed column": lambda table, content: parquet(pq.read_table(io.BytesIO(content)).rename_columns({"key": "kez"})),
    "a name that is no text": lambda table, content: content.replace(b"\x03key", b"\x03\xffey"),
    "a type": lambda table, content: parquet(pa.table({"key": [KEYS[0]], "level": ["one"], "epoch": ["one"]})),
    "another trial": lambda table, content: encode(table, [{"key": KEYS[1], **(ROWS[1] if table == "rows" else {})}]),
}  # fmt: skip


# A file of one of the tables beside the rows may pass for one of another, with whom it shares its
# columns.
CASES = [
    (table, damage)
    for table in TABLES
    for damage in DAMAGE
    if table == "rows" or damage != "another table"
]


@pytest.mark.parametrize(("table", "damage"), CASES)
def test_a_damaged_table_is_named_and_the_others_are_read(
    table: str, damage: str, store: Store
) -> None:
    path = f"{table}/{KEYS[0]}.parquet"
    store.write(path, DAMAGE[damage](table, store.read(path)))
    study = load(store)
    read = {
        "rows": study.rows,
        "curves": study.curves,
        "layers": study.layers,
        "latency": study.rows,
    }[table]
    (warning,) = study.warnings
    assert f"skipped {path}: " in warning and warning.isprintable()
    assert ("run the study again" in warning) == (table == "rows")
    if table == "latency":
        assert read["latency_ms_b1"].notna().tolist() == [key != KEYS[0] for key in read["key"]]
    else:
        assert set(read["key"]) == set(KEYS[1:3])
    gaps = find_gaps(study)
    assert gaps.unreadable == ({KEYS[0]} if table == "rows" else set())
    assert len(gaps.failed) == 1 and gaps.done == (2 if table == "rows" else 3)


def test_rows_of_a_newer_project_are_read_and_named(store: Store) -> None:
    path = f"rows/{KEYS[0]}.parquet"
    newer = pq.read_table(io.BytesIO(store.read(path))).drop_columns(["schema_version"])
    newer = newer.append_column("schema_version", pa.array([7])).append_column(
        "joules", pa.array([3.5])
    )
    store.write(path, parquet(newer))
    study = load(store)
    (warning,) = study.warnings
    assert (
        len(study.rows) == 3
        and "schema version 7" in warning
        and "update this project" in warning
        and path in warning
    )


def test_the_report_states_the_gap(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(f"rows/{KEYS[0]}.parquet", b"PAR1")
    store.write(f"failures/{KEYS[3]}.json", b'{"error": ')
    store.write("failures/\x1b[31mx.json", b"[" * 100_000)
    store.write("study.yaml", b"name: [")
    assert main([store.uri, "--out", str(tmp_path / "report"), "--format", "md"]) == 0
    told = capsys.readouterr()
    assert "2 of 4 trials done" in told.out and "1 unreadable" in told.out
    assert f"warning: skipped rows/{KEYS[0]}.parquet: not a readable Parquet file" in told.err
    assert (
        "warning: skipped study.yaml: " in told.err
        and f"warning: skipped failures/{KEYS[3]}.json" in told.err
    )
    assert "\x1b" not in told.out + told.err
    page = (tmp_path / "report/report.md").read_text()
    assert "its rows cannot be read" in page and "the record of this failure cannot be read" in page


def test_nothing_but_damage_is_still_a_study(store: Store, tmp_path: Path) -> None:
    for path in store.list(""):
        store.write(path, b"\x00" * 50)
    assert main([store.uri, "--out", str(tmp_path / "report"), "--format", "md"]) == 0
    page = (tmp_path / "report/report.md").read_text()
    assert "0 trials done" in page
    for path in store.list(""):
        assert f"skipped {path}: " in page or path.split("/")[0] in (
            "curves",
            "layers",
        )  # read for figures only


BOMB = "\n".join(
    ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
TEXTS = {
    "nothing": b"",
    "cut off": b'{"name": "x", "trials": [{"key": ',
    "no text": b"\xff" * 40,
    "zero bytes": b"\x00" * 40,
    "deep": b"[" * 100_000,
    "null": b"null",
    "list": b"[1, 2]",
    "word": b'"x"',
    "number": b"17",
}


@pytest.mark.parametrize("path", ["study.yaml", "plan.json", f"failures/{KEYS[3]}.json"])
@pytest.mark.parametrize("damage", TEXTS)
def test_a_damaged_text_is_left_out_and_the_rows_are_read(
    path: str, damage: str, store: Store
) -> None:
    store.write(path, TEXTS[damage])
    study = load(store)
    gaps = find_gaps(study)
    assert len(study.rows) == 3 and gaps.done == 3
    assert all(warning.isprintable() for warning in study.warnings)
    silent = path == "study.yaml" and damage in ("nothing", "null")
    assert (
        silent or path.startswith("failures") or any(path in warning for warning in study.warnings)
    )
    assert all("run the study" in warning for warning in study.warnings if "skipped" in warning)
    if path.startswith("failures"):
        assert [failure.key for failure in gaps.failed] == [KEYS[3]]
        assert gaps.failed[0].error == "the record of this failure cannot be read"


@pytest.mark.parametrize("path", ["study.yaml", "plan.json"])
def test_a_folder_in_the_place_of_a_text_is_passed_over(path: str, store: Store) -> None:
    store.delete(path)
    store.write(f"{path}/x", b"")
    assert len(load(store).rows) == 3


@pytest.mark.parametrize(
    "text", [BOMB, "a: &a [*a]", "name: !!timestamp x", "name: !!python/name:os.system"]
)
def test_a_study_file_that_would_unfold_or_run_is_left_out(text: str, store: Store) -> None:
    store.write("study.yaml", text.encode())
    study = load(store)
    assert len(study.spec) == 0  # its text, if it were there, would be too long to print
    assert any("skipped study.yaml" in warning for warning in study.warnings)


JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    "",
    "x",
    "\x1b[31m",
    [],
    {},
    [1],
    {"a": 1},
    [None],
    [[]],
]


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_whatever_stands_in_the_texts_what_is_missing_is_said(
    whole: Study, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(["study.yaml", "plan.json", f"failures/{KEYS[3]}.json"]))
    file = Path(whole.store.uri, path)
    before = file.read_bytes()
    content: Any = deepcopy(SPEC) if path == "study.yaml" else json.loads(before)
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(content, data)
    written = yaml.safe_dump(content) if path == "study.yaml" else json.dumps(content)
    file.write_bytes(
        written.encode()
    )  # not by the store: its file system syncs would take most of the time
    try:
        warnings: list[str] = []
        spec = check_spec(read_text(whole.store, "study.yaml", warnings), warnings)
        plan = read_plan(read_text(whole.store, "plan.json", warnings), warnings)
        failures = read_failures(whole.store, warnings)
    finally:
        file.write_bytes(before)
    study = replace(whole, spec=spec, plan=plan, failures=failures, warnings=warnings)
    gaps = find_gaps(study)
    assert gaps.summarise().isprintable() and all(warning.isprintable() for warning in warnings)
    assert [failure.key for failure in gaps.failed] == [KEYS[3]] and gaps.failed[
        0
    ].error.isprintable()
    assert (
        len(plan) == 4
        or '"trials": []' in written
        or any("plan.json" in warning for warning in warnings)
    )
    assert find_device(study)[1] >= 0


def spoil(holder: Any, data: st.DataObject) -> None:
    """Put junk somewhere into a mapping or list."""
    while holder:
        name = data.draw(
            st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        )
        if not isinstance(holder[name], dict | list) or data.draw(st.booleans()):
            holder[name] = deepcopy(data.draw(st.sampled_from(JUNK)))
            return
        holder = holder[name]
