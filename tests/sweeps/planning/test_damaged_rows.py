"""The command line on a study directory with damaged files: one line, or the plan goes on without
them.

Covers: sweeps/planning/study_directory.py, sweeps/planning/trial_status.py.
"""

import json
from pathlib import Path

import pytest
import yaml

from sweeps import full_study
from sweeps.cli.study_request import read_study
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.study_directory import write_study_description
from sweeps.planning.trial_status import read_trial_status
from trainables.storage import parquet_tables
from trainables.storage.store import Store

WORDS = ["--preset", "digits", "--methods", "magnitude", "--seeds", "0", "--sparsities", "0.5"]
KEYS = (b"dataset:", b"model:", b"recipe:")
DEEP = b"[" * 100_000
BOMB = "\n".join(
    ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 99)}]" for n in range(1, 9)]
).encode()


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Store, Plan]:
    """A study directory as a launch begins it."""
    spec = read_study(full_study.make_parser().parse_args(WORDS), default_preset="full")
    store, plan = Store.at(tmp_path), make_plan(spec)
    write_study_description(spec, plan, store)
    return store, plan


def dry_run(store: Store, *words: str) -> int:
    return full_study.main([*WORDS, "--out", store.uri, "--dry-run", *words])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "it is no mapping"),
        (b"\x00" * 50, "unacceptable character"),
        (b"\xff" * 50, "study.yaml cannot be read"),
        (DEEP, "it is nested too deeply"),
        (BOMB, "it holds more than 10,000,000 values"),
        (b"name: a\nname: b", "the key 'name' is there twice"),
        (b"name: !!timestamp x", "a value does not fit its tag"),
        (
            b"dataset: 0x" + b"f" * 9000,
            "dataset = a number of thousands of digits, but now it is digits",
        ),
        (b"recipe: [1]", "holds a study with recipe = [1], but now it is {"),
        (b'model: "\\e[31mred"', r"model = \x1b[31mred, but now it is resnet8"),
        (b"name: digits\nrecipe: [1]", "study.yaml cannot be read: it is cut off"),
    ],
)
def test_a_damaged_study_file_is_one_line(
    content: bytes, line: str, begun: tuple[Store, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    if content.startswith(KEYS):  # the file is whole but for these
        whole = yaml.safe_load(begun[0].read("study.yaml"))
        changed = [key.decode() for key in KEYS if key in content]
        rest = {key: value for key, value in whole.items() if f"{key}:" not in changed}
        content = yaml.safe_dump(rest).encode() + content
    begun[0].write("study.yaml", content)
    assert dry_run(begun[0]) == 2
    told = capsys.readouterr().err
    assert line in told and told.startswith("error: ") and told[:-1].isprintable()


def test_an_entry_more_or_less_in_a_recipe_is_named(
    begun: tuple[Store, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    text = begun[0].read("study.yaml").decode()
    begun[0].write("study.yaml", text.replace("recipe:\n", "recipe:\n  older: null\n", 1).encode())
    assert dry_run(begun[0]) == 2
    assert (
        "holds a study with recipe.older = None, but now it is nothing" in capsys.readouterr().err
    )


def test_a_folder_in_the_place_of_the_study_file_is_one_line(
    begun: tuple[Store, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    begun[0].delete("study.yaml")
    begun[0].write("study.yaml/x", b"")
    assert dry_run(begun[0]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"null", b"[1]", b'"x"', b"{}", DEEP, b'{"error": ']
)
def test_a_damaged_record_of_a_failure_is_still_a_failure(
    content: bytes, begun: tuple[Store, Plan]
) -> None:
    store, plan = begun
    key = plan.trials[-1].key
    store.write(f"failures/{key}.json", content)
    assert (
        read_trial_status(plan, store).failed[key].error
        == "the record of this failure cannot be read"
    )
    assert dry_run(store) == 0


def test_a_record_of_a_failure_cannot_steer_the_terminal(
    begun: tuple[Store, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    store, plan = begun
    for trial in plan.trials:
        store.write(
            f"failures/{trial.key}.json",
            json.dumps({"error": "\x1b[2Jgone\nsecond " + "x" * 5000}).encode(),
        )
    assert full_study.main([*WORDS, "--out", store.uri]) == 1
    told = capsys.readouterr().out
    assert (
        r"\x1b[2Jgone second xxx" in told
        and "\x1b" not in told
        and all(len(line) < 1500 for line in told.splitlines())
    )


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"\x00" * 500, parquet_tables.encode_table("curves", [{"key": "x"}])]
)
def test_damaged_rows_are_no_rows_and_give_no_time_per_trial(
    content: bytes, begun: tuple[Store, Plan]
) -> None:
    store, plan = begun
    for trial in plan.trials:
        store.write(f"rows/{trial.key}.parquet", content)
    state = read_trial_status(plan, store)
    assert state.done == set() and set(state.damaged) == set(state.missing) == set(plan.by_key)
    assert state.spent == {}
    assert dry_run(store) == 0
