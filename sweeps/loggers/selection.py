"""The loggers that `--log` can name: checked before anything runs, and opened for a run."""

import importlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.user_error import UserError, nearest, printable
from trainables.storage import layout
from trainables.storage.store import Store, is_remote

if TYPE_CHECKING:
    from sweeps.loggers.log_queue import LogQueue

PACKAGES = {  # by name: the module, and what to install
    "tensorboard": ("tensorboard", "tensorboard>=2.17"),
    "mlflow": ("mlflow", "mlflow>=2.16"),
    "wandb": ("wandb", "wandb>=0.31"),
}


def check_loggers(text: str | None) -> list[str]:
    """The names of `--log`, each of which can be used here.

    Raises:
        UserError: there is no such logger, or it lacks its package or a place to log to.
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
        except Exception as error:  # a package that is half installed may raise anything
            reason = printable(f"{type(error).__name__}: {error}")[:200]
            raise UserError(
                f"--log {name}: {reason}; pip install --upgrade '{package}', or leave it out"
            ) from None
    return names


@contextmanager
def logging_to(
    text: str | None, study: str, store: Store, *, say: Callable[[str], None]
) -> "Iterator[list[LogQueue]]":
    """One queue to all loggers that `--log` names, or none; at the end, what is left is logged."""
    names = _split(text)
    if not names:
        yield []
        return
    from sweeps.loggers.log_queue import LogQueue

    remote = is_remote(store.uri)
    folder = Path(layout.LOGS, study).absolute() if remote else Path(store.uri, layout.LOGS)
    identity = read_identity(store)
    loggers = [
        importlib.import_module(f"sweeps.loggers.{name}_logger").open_logger(
            study, identity, folder
        )
        for name in names
    ]
    for logger in loggers:
        say(f"logging to {logger.name}: {logger.place}")
    queue = LogQueue(loggers, store, say=say)
    try:
        yield [queue]
    finally:
        queue.close()


def _split(text: str | None) -> list[str]:
    return list(
        dict.fromkeys(part.strip().lower() for part in (text or "").split(",") if part.strip())
    )


def read_identity(store: Store) -> str:
    """An id of this study directory, made when it is first needed. It stays when the directory is
    moved; `--fresh` makes another one."""
    try:
        return store.read(layout.IDENTITY_FILE).decode()
    except FileNotFoundError:
        identity = uuid.uuid4().hex
        store.write(layout.IDENTITY_FILE, identity.encode())
        return identity
