"""The Weights & Biases logger: what is written is read back from the file of an offline run."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.sweeps.loggers.logged_trial import (
    KEY,
    LEVELS,
    begin,
    finish,
    launch,
    report,
    rows,
)
from trainables.storage.store import Store


def read_wandb(path: Path) -> list[dict[str, Any]]:
    """The history of an offline run, from its file: a header of 7 bytes, then the log format of
    LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, offset, data, found = path.read_bytes(), 7, b"", []
    while offset + 7 <= len(content):
        if 32768 - offset % 32768 < 7:  # the rest of a block that holds no header
            offset += 32768 - offset % 32768
            continue
        length, kind = struct.unpack("<HB", content[offset + 4 : offset + 7])
        data += content[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            data = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                found.append(
                    {
                        item.key or "/".join(item.nested_key): json.loads(item.value_json)
                        for item in items
                    }
                )
    return found


def test_wandb_offline_holds_each_epoch_once_over_two_launches(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with launch("wandb", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 3))
    with launch("wandb", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    (run,) = Path(store.uri, "logs/wandb").glob("offline-run-*/run-*.wandb")
    text = read_wandb(run)
    epochs = [row for row in text if "train/loss" in row]
    assert [(row["_step"], row["epoch"], row["train/loss"]) for row in epochs] == [
        (n, n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)
    ]
    assert [row["final/test_top1"] for row in text if "final/test_top1" in row] == [91.5]
    assert len(printed) == 2


def test_wandb_forgets_the_error_of_a_trial_that_is_done_after_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    from sweeps.loggers import wandb_logger

    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = wandb_logger.open_logger("tests", "identity", Path(store.uri))
    logger.begin(KEY, {})
    run = logger._runs[KEY]
    run.summary["error"] = "E: x"  # as a server hands it out with a run that is resumed
    finished: list[list[str]] = []
    monkeypatch.setattr(run, "finish", lambda exit_code: finished.append(list(run.summary.keys())))
    logger.end(KEY, LEVELS, error="")
    type(run).finish(run)
    assert len(finished) == 1 and "error" not in finished[0]
