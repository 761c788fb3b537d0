"""Paths of a study directory: pinned, because directories of every version are read, and each is
read back to what it was made of."""

import pytest

from trainables.storage import layout

KEY = "digits-mlp/magnitude/s0.900/seed0-01234567"


def test_paths_are_those_of_every_version() -> None:
    assert layout.table_file(layout.ROWS, KEY) == f"rows/{KEY}.parquet"
    assert layout.failure_file(KEY) == f"failures/{KEY}.json"
    folder = layout.state_folder(layout.CHECKPOINTS, KEY)
    path = layout.state_file(folder, "step", 3_000_007, "0123456789abcdef", digits=12)
    assert path == f"checkpoints/{KEY}/step-000003000007-0123456789abcdef.pt"
    assert layout.method_file("mine", "0123456789abcdef") == "methods/mine-0123456789ab.py"
    assert layout.logged_file("wandb", KEY) == f"logged/wandb/{KEY}.json"
    assert layout.candidate_file(0.9, 7) == "candidates/s0.9/00007.json"
    assert layout.comparison_folder("other") == "report/versus-other"
    assert layout.IDENTITY_FILE == "logged/identity"


@pytest.mark.parametrize("table", [layout.ROWS, layout.CURVES, layout.LAYERS, layout.LATENCY])
def test_keys_are_read_back_from_paths(table: str) -> None:
    assert layout.table_key(table, layout.table_file(table, KEY)) == KEY
    assert layout.failure_key(layout.failure_file(KEY)) == KEY
    assert layout.logged_key("mlflow", layout.logged_file("mlflow", KEY)) == KEY
    assert layout.method_name(layout.method_file("my-method", "ab" * 32)) == "my-method"


def test_the_name_of_a_state_is_read_back() -> None:
    folder = layout.state_folder(layout.NETWORKS, KEY)
    path = layout.state_file(folder, "level", 12, "0123456789abcdef")
    assert layout.parse_state(path) == (folder, "level", 12, "0123456789abcdef")
    assert layout.state_key(path) == KEY


@pytest.mark.parametrize(
    "name",
    ["step-1.pt", "step-x-0123456789abcdef.pt", "step-1-0123.pt", "step-1-0123456789abcdef.tmp"],
)
def test_other_files_are_no_states(name: str) -> None:
    assert layout.parse_state(f"checkpoints/{KEY}/{name}") is None


def test_every_part_of_a_study_is_deleted_once() -> None:
    parts = (*layout.STUDY_PARTS, *layout.SEARCH_PARTS)
    assert len(set(parts)) == len(parts) and layout.LEASE_FILE not in parts


def test_two_names_of_other_scripts_or_of_great_length_make_two_file_names() -> None:
    assert layout.make_file_name("a study: of (three) nets") == "a-study-of-three-nets"
    assert layout.make_file_name("v1.2_x") == "v1.2_x"
    names = ["剪枝", "宽度", "été", "ete", "x" * 300 + "1", "x" * 300 + "2"]
    made = [layout.make_file_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(name.isascii() and 0 < len(name) <= 160 for name in made)
