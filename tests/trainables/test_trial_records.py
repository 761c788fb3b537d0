"""What a trial records comes back from a checkpoint as it was."""

from dataclasses import fields

import torch

from trainables.trial_records import TrialRecords


def test_every_field_is_saved_and_restored() -> None:
    records = TrialRecords(
        level=3,
        epochs=7,
        train_seconds=1.5,
        train_macs=10**18 + 1,
        best_test=91.0,
        early_stop={"iteration": 5, "loss": 0.5, "top1": 80.0, "weights": {}},
        started="2026-01-01T00:00:00+00:00",
        rows=[{"level": 2}],
        curves=[{"epoch": 6}],
        layers=[{"layer": "fc.weight"}],
        notes=["a note"],
        memory={"scores": torch.ones(2)},
    )
    saved = records.state()
    assert set(saved) == {field.name for field in fields(TrialRecords)}
    restored = TrialRecords()
    restored.restore(saved)
    assert restored == records


def test_a_checkpoint_from_before_the_count_of_macs_leaves_it_unknown() -> None:
    saved = TrialRecords(epochs=7).state()
    del saved["train_macs"]
    restored = TrialRecords()
    restored.restore(saved)
    assert (restored.epochs, restored.train_macs) == (7, None)


def test_a_new_trial_has_recorded_nothing_but_its_start() -> None:
    records = TrialRecords()
    assert records.started.endswith("+00:00")
    assert not any(value for name, value in records.state().items() if name != "started")
