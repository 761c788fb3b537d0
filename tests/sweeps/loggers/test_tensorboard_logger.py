"""The TensorBoard logger: what is written is read back by TensorBoard itself."""

from pathlib import Path

import pytest

from tests.sweeps.loggers.logged_trial import (
    KEY,
    SPEC,
    begin,
    finish,
    launch,
    report,
    rows,
    wait_for,
)
from trainables.storage.store import Store


def test_tensorboard_reads_each_epoch_once_over_two_launches(
    store: Store, printed: list[str]
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with launch("tensorboard", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 3))
    with launch("tensorboard", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    events = accumulator.EventAccumulator(str(Path(store.uri, "logs/tensorboard", KEY)))
    events.Reload()
    logged = [(point.step, point.value) for point in events.Scalars("train/loss")]
    assert logged == [(n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)]
    assert [point.step for point in events.Scalars("validation/top1")] == [1, 2, 3, 4]
    assert [(point.step, point.value) for point in events.Scalars("final/test_top1")] == [(1, 91.5)]
    assert events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert len(printed) == 2


def test_tensorboard_holds_all_of_a_trial_that_runs_again_after_it_was_logged(
    store: Store, printed: list[str]
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = Path(store.uri, "logs/tensorboard", KEY)
    finish(store)
    with launch("tensorboard", store, printed) as (loggers,):
        loggers.log_finished_trials({KEY: SPEC}, [KEY])
        wait_for(lambda: store.exists(f"logged/tensorboard/{KEY}.json"))
        (old,) = folder.iterdir()
        begin(loggers)
        wait_for(lambda: not old.exists())
        report(loggers, 0, rows(1, 4))
        loggers.done(KEY, {})
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [(point.step, point.value) for point in events.Scalars("final/test_top1")] == [(1, 91.5)]
    assert events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
