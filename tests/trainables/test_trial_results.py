"""Results of a trial: rows are written last and once, and damaged ones count as missing."""

from collections.abc import Callable

import pytest

from pruning.phases import Measure, Train
from trainables.storage import layout
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_records import TrialRecords
from trainables.trial_results import read_complete_rows, read_stored_rows, write_results
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits", model="mlp", method="dense", seed=1, recipe=Recipe(epochs=1, batch=400)
)
KEY = SPEC.key


def write(store: Store, top1: float, attempts: int = 1) -> None:
    records = TrialRecords(rows=[{"key": KEY, "level": 1, "test_top1": top1}])
    write_results(store, KEY, records, attempts=attempts, seconds=2.5)


def test_rows_are_written_last_and_stay_as_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original = Store.write

    def spy(self: Store, path: str, content: bytes) -> None:
        written.append(path.partition("/")[0])
        original(self, path, content)

    monkeypatch.setattr(Store, "write", spy)
    write(store, 90.0)
    assert written == ["layers", "curves", "rows"]
    (row,) = read_stored_rows(store, KEY)
    assert (row["test_top1"], row["attempts"], row["trial_seconds"]) == (90.0, 1, 2.5)
    write(store, 80.0, attempts=2)
    assert read_stored_rows(store, KEY) == [row]


def test_damaged_rows_and_those_of_another_trial_are_written_again(store: Store) -> None:
    assert read_stored_rows(store, KEY) == []
    write(store, 90.0)
    whole = store.read(layout.table_file(layout.ROWS, KEY))
    store.write(layout.table_file(layout.ROWS, KEY), whole[:-9])
    assert read_stored_rows(store, KEY) == []
    write(store, 80.0)
    assert [row["test_top1"] for row in read_stored_rows(store, KEY)] == [80.0]
    store.write(layout.table_file(layout.ROWS, "another/key"), whole)
    assert read_stored_rows(store, "another/key") == []


def test_results_are_complete_with_rows_weights_and_networks(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(SPEC)
    trial.run()
    phases, store = trial.runner.phases, trial.store
    assert read_complete_rows(store, SPEC, phases, networks=False)
    assert not read_complete_rows(store, SPEC, phases, networks=True), "no network was saved"
    more = [*phases, Train("train", 1, publish=(9,)), Measure(0.5)]
    assert not read_complete_rows(store, SPEC, more, networks=False), "no weights of epoch 9"
