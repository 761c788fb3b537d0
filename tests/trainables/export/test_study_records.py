"""What an export reads of a study: keys, specs, cards and the data folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pruning.user_error import UserError
from tests.trainables.export.small_study import DENSE, MASKED, SLIM, TICKETS, read_row
from trainables.export import study_records
from trainables.storage.store import Store
from trainables.trial import Trial


def test_a_user_method_is_described_by_the_plan(study: Path) -> None:
    row = {**read_row(study, MASKED), "method": "mine", "knobs": '{"strength": 3}'}
    card = {
        "title": "Mine",
        "paper": "-",
        "summary": "s",
        "kind": "unstructured",
        "cost": "c",
        "when": "w",
    }
    found = study_records.describe_method(
        row, {"cards": {"mine": {**card, "knobs": {"strength": 1, "other": 2}}}}
    )
    assert found == {**card, "knobs": {"strength": 3, "other": 2}}


def test_a_key_its_unique_beginning_and_its_title_are_understood(study: Path) -> None:
    store = Store.at(study)
    asked = [
        TICKETS.key,
        "digits-resnet8/lottery",
        f"{TICKETS.key} (levels=2)",
        f" {TICKETS.key}/ ",
    ]
    assert {study_records.find_key(store, text) for text in asked} == {TICKETS.key}


def test_the_data_of_a_study_are_found_again(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    assert study_records.read_data_dir(store) is None
    store.write("study.yaml", b"name: x\ndata_dir: /some/where\n")
    assert study_records.read_data_dir(store) == "/some/where"
    store.write("study.yaml", b"{")
    assert study_records.read_data_dir(store) is None


def test_the_spec_of_a_trial_follows_from_its_rows(
    study: Path, open_trial: Callable[..., Trial]
) -> None:
    for spec in (DENSE, MASKED, SLIM, TICKETS):
        rows = study_records.read_rows(Store.at(study), spec.key)
        assert study_records.spec_of_rows(rows, {}) == spec
    rows[0]["seed"] = 5
    with pytest.raises(
        UserError, match="are those of .*seed5-.* today: the project has changed since"
    ):
        study_records.spec_of_rows(rows, {})
