"""One trial that the tests of the loggers log."""

import time
from collections.abc import Callable
from typing import Any

from sweeps.loggers import selection
from sweeps.loggers.log_queue import LogQueue
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits",
    model="resnet8",
    method="synflow",
    knobs={"iterations": 7},
    sparsities=(0.5,),
    seed=3,
)
KEY = SPEC.key
LEVELS = [
    {"level": 1, "stage": "final", "sparsity": 0.5, "test_top1": 91.5, "epochs": 4, "nonzero": 1000}
]


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Rows of curves with two splits; the loss of an epoch is 1 / its number, on the validation
    split twice that."""
    return [
        {
            "key": KEY,
            "step": epoch,
            "epoch": epoch,
            "phase": "train",
            "lr": 0.1,
            "split": split,
            "loss": loss / epoch,
            "top1": 50.0 + epoch,
        }
        for epoch in range(first, last + 1)
        for split, loss in (("train", 1.0), ("validation", 2.0))
    ]


def finish(store: Store, epochs: int = 4) -> None:
    """Put a trial that is done into a study directory."""
    store.write(f"curves/{KEY}.parquet", parquet_tables.encode_table("curves", rows(1, epochs)))
    store.write(
        f"rows/{KEY}.parquet", parquet_tables.encode_table("rows", [{"key": KEY, **LEVELS[0]}])
    )


def begin(loggers: LogQueue) -> None:
    loggers.started(KEY, SPEC.model_dump(mode="json"))


def report(loggers: LogQueue, start: int, curve: list[dict[str, Any]]) -> None:
    loggers.reported(KEY, {"curve_from": start, "curve": curve})


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def launch(name: str, store: Store, printed: list[str]) -> Any:
    return selection.logging_to(name, "tests", store, say=printed.append)
