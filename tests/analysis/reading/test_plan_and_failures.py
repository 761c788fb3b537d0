"""Damaged text files of a study directory are named and left out, the rest is analysed."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.reading.load import Study, load_study
from analysis.reading.plan_and_failures import (
    check_study_file,
    read_failures,
    read_plan,
    read_yaml_or_json,
)
from analysis.reading.study_completeness import find_missing_trials
from analysis.statistics.device_time import find_trial_device
from tests.analysis.reading.conftest import KEYS, SPEC
from trainables.storage.store import Store


@pytest.mark.usefixtures("no_figures")
def test_the_report_states_the_gap(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(f"rows/{KEYS[0]}.parquet", b"PAR1")
    store.write(f"failures/{KEYS[3]}.json", b'{"error": ')
    store.write("failures/\x1b[31mx.json", b"[" * 100_000)
    store.write("study.yaml", b"name: [")
    assert main([store.uri, "--out", str(tmp_path / "report"), "--format", "md"]) == 0
    printed = capsys.readouterr()
    assert "2 of 4 trials done" in printed.out and "1 unreadable" in printed.out
    assert f"warning: skipped rows/{KEYS[0]}.parquet: not a readable Parquet file" in printed.err
    assert (
        "warning: skipped study.yaml: " in printed.err
        and f"warning: skipped failures/{KEYS[3]}.json" in printed.err
    )
    assert "\x1b" not in printed.out + printed.err
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
    study = load_study(store)
    missing = find_missing_trials(study)
    assert len(study.rows) == 3 and missing.done == 3
    assert all(warning.isprintable() for warning in study.warnings)
    silent = path == "study.yaml" and damage in ("nothing", "null")
    assert (
        silent or path.startswith("failures") or any(path in warning for warning in study.warnings)
    )
    assert all("run the study" in warning for warning in study.warnings if "skipped" in warning)
    if path.startswith("failures"):
        assert [failure.key for failure in missing.failed] == [KEYS[3]]
        assert missing.failed[0].error == "the record of this failure cannot be read"


@pytest.mark.parametrize("path", ["study.yaml", "plan.json"])
def test_a_folder_in_the_place_of_a_text_is_passed_over(path: str, store: Store) -> None:
    store.delete(path)
    store.write(f"{path}/x", b"")
    assert len(load_study(store).rows) == 3


@pytest.mark.parametrize(
    "text", [BOMB, "a: &a [*a]", "name: !!timestamp x", "name: !!python/name:os.system"]
)
def test_a_study_file_that_would_unfold_or_run_is_left_out(text: str, store: Store) -> None:
    store.write("study.yaml", text.encode())
    study = load_study(store)
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
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
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
        spec = check_study_file(read_yaml_or_json(whole.store, "study.yaml", warnings), warnings)
        plan = read_plan(read_yaml_or_json(whole.store, "plan.json", warnings), warnings)
        failures = read_failures(whole.store, warnings)
    finally:
        file.write_bytes(before)
    study = replace(whole, spec=spec, plan=plan, failures=failures, warnings=warnings)
    missing = find_missing_trials(study)
    assert missing.summarise().isprintable() and all(warning.isprintable() for warning in warnings)
    assert [failure.key for failure in missing.failed] == [KEYS[3]] and missing.failed[
        0
    ].error.isprintable()
    assert (
        len(plan) == 4
        or '"trials": []' in written
        or any("plan.json" in warning for warning in warnings)
    )
    assert find_trial_device(study)[1] >= 0


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


def test_a_study_file_as_the_project_writes_it_is_read_whole(whole: Study) -> None:
    from sweeps.study_file.study import StudySpec

    spec = StudySpec.model_validate(
        {"name": "gpus", "dataset": "digits", "model": "mlp", "methods": ["magnitude"],
         "sparsities": [0.5], "seeds": [0], "resources": {"gpus_per_trial": 0.25}}
    )  # fmt: skip
    written, warnings = spec.model_dump(mode="json"), list[str]()
    assert check_study_file(written, warnings) == written and not warnings
    study = replace(whole, spec=check_study_file(written, []))
    assert find_trial_device(study) == ("GPU", 0.25)
