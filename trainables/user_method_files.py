"""Methods of the user's own on their way to the workers: through the study directory, which every
node can read.

A file lies at `methods/<name>-<first 12 digits of its SHA-256>.py`, so that all contents that ever
ran here stay there. A worker runs a file only if it is, byte for byte, the one that the driver
planned with.
"""

from collections.abc import Mapping
from hashlib import sha256

from pruning import registry
from pruning.user_error import UserError
from pruning.user_methods import load
from trainables.storage.store import Store

FOLDER = "methods"


def find_path(name: str, digest: str) -> str:
    """Where a method's file lies in a study directory."""
    return f"{FOLDER}/{name}-{digest[:12]}.py"


def publish(sources: Mapping[str, str], store: Store) -> None:
    """Put the files of learnt methods into the study directory.

    Args:
        sources: SHA-256 by name, as `TrialSpec.sources`.
    """
    for name, digest in sources.items():
        own = registry.own(name)
        assert own is not None and own.digest == digest, (
            "a plan's methods are those that its process has learnt"
        )
        store.write(find_path(name, digest), own.source)


def fetch(sources: Mapping[str, str], store: Store) -> None:
    """Take in those of the methods that this process does not know yet, from the study directory.

    Raises:
        UserError: a file is missing, or is not the one the study was planned with.
    """
    for name, digest in sources.items():
        own = registry.own(name)
        if own is not None and own.digest == digest:
            continue
        path = find_path(name, digest)
        try:
            source = store.read(path)
        except FileNotFoundError:
            raise UserError(
                f"{store.place(path)} is missing; launch the study again, which writes it"
            ) from None
        if sha256(source).hexdigest() != digest:
            raise UserError(
                f"{store.place(path)} is not the file that the study was planned with; launch the study again, which "
                "writes it anew"
            )
        registry.add(load(name, source, store.place(path)))


def find_changed(sources: Mapping[str, str], store: Store) -> list[str]:
    """Names of methods that ran in this study directory with another content only."""
    if not sources:
        return []
    there = store.list(FOLDER, ".py")
    ran = {
        name: [path for path in there if path.rpartition("-")[0] == f"{FOLDER}/{name}"]
        for name in sources
    }
    return [
        name
        for name, digest in sources.items()
        if ran[name] and find_path(name, digest) not in ran[name]
    ]
