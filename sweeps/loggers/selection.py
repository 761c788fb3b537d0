"""What `--log` can name, and what each of them must be able to do."""

import importlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pruning.user_error import UserError, nearest, printable
from trainables.storage.store import Store, is_remote

if TYPE_CHECKING:
    from sweeps.loggers.epochs import Point
    from sweeps.loggers.log_queue import Loggers

FOLDER = "logged"  # of a study directory: what is logged, by logger and key
PACKAGES = {  # by name: the module, and what to install
    "tensorboard": ("tensorboard", "tensorboard>=2.17"),
    "mlflow": ("mlflow", "mlflow>=2.16"),
    "wandb": ("wandb", "wandb>=0.31"),
}
NUMBERS = (  # of a row that are logged for each level and stage
    "sparsity",
    "sparsity_reached",
    "test_top1",
    "test_top5",
    "test_loss",
    "val_top1",
    "params",
    "nonzero",
    "compression",
    "macs",
    "effective_macs",
    "bytes",
    "epochs",
    "train_seconds",
)


class Sink(Protocol):
    """A place that takes down runs. Called from one thread; may raise anything, after which `begin`
    is called again.

    name: as in `--log`. place: where the runs are, for people.
    """

    name: str
    place: str

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Begin the run of a trial, or go on with it; returns how many of its first epochs it holds
        already."""

    def log(self, key: str, points: list["Point"]) -> None:
        """Take down epochs, in order."""

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """End a run with the rows of the trial's levels, or with the error for which it was given
        up."""

    def leave(self, key: str) -> None:
        """Let go of a run that has not ended, because the launch has."""


def check_loggers(text: str | None) -> list[str]:
    """The names of `--log`, each of which can be used here.

    Raises:
        UserError: one that there is not, or that lacks its package or a place to log to.
    """
    names = _split(text)
    if text is not None and not names:
        raise UserError(f"--log takes names separated by commas: {', '.join(PACKAGES)}")
    for name in names:
        if name not in PACKAGES:
            raise UserError(f"--log: no logger '{name}'{nearest(name, list(PACKAGES))}")
        module, package = PACKAGES[name]
        if find_spec(module) is None:
            raise UserError(
                f"--log {name} needs a package that is not installed: pip install '{package}'"
            )
        try:
            importlib.import_module(f"sweeps.loggers.{name}_logger").check()
        except UserError:
            raise
        except (
            Exception
        ) as error:  # a package that is there by half fails in as many ways as there are packages
            reason = printable(f"{type(error).__name__}: {error}")[:200]
            raise UserError(
                f"--log {name}: {reason}; pip install --upgrade '{package}', or leave it out"
            ) from None
    return names


@contextmanager
def logging_to(
    text: str | None, study: str, store: Store, *, say: Callable[[str], None]
) -> "Iterator[list[Loggers]]":
    """The loggers that `--log` names, as one, or none; what is left to log is logged in the end."""
    names = _split(text)
    if not names:
        yield []
        return
    from sweeps.loggers.log_queue import Loggers

    folder = Path("logs", study).absolute() if is_remote(store.uri) else Path(store.uri, "logs")
    identity = find_identity(store)
    sinks = [
        importlib.import_module(f"sweeps.loggers.{name}_logger").open_sink(study, identity, folder)
        for name in names
    ]
    for sink in sinks:
        say(f"logging to {sink.name}: {sink.place}")
    loggers = Loggers(sinks, store, say=say)
    try:
        yield [loggers]
    finally:
        loggers.close()


def _split(text: str | None) -> list[str]:
    return list(
        dict.fromkeys(part.strip().lower() for part in (text or "").split(",") if part.strip())
    )


def find_identity(store: Store) -> str:
    """What tells this study directory from all others, also after it was moved; `--fresh` makes it
    another one."""
    path = f"{FOLDER}/identity"
    try:
        return store.read(path).decode()
    except FileNotFoundError:
        identity = uuid.uuid4().hex
        store.write(path, identity.encode())
        return identity


def read_numbers(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a level: `<stage>/<column>`, without those that were not measured."""
    stage = row["stage"]
    return {f"{stage}/{name}": float(row[name]) for name in NUMBERS if row.get(name) is not None}


def default(name: str, value: str) -> None:
    """Set a variable of the environment that the user has not set."""
    os.environ.setdefault(name, value)
