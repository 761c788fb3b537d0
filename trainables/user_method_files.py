"""Method files of the user on their way to the workers: through the study directory, which every
node can read.

Each content of a file has a path of its own (`layout.method_file`), so that all contents that ever
ran here stay there. A worker runs a file only if it is, byte for byte, the one that the driver
planned with.
"""

from collections.abc import Mapping
from hashlib import sha256

from pruning import registry
from pruning.user_error import UserError
from pruning.user_methods import load_user_method
from trainables.storage import layout
from trainables.storage.store import Store


def store_method_files(sources: Mapping[str, str], store: Store) -> None:
    """Write the files of the user's methods into the study directory.

    Args:
        sources: SHA-256 by name, as `TrialSpec.sources`.
    """
    for name, digest in sources.items():
        method = registry.find_user_method(name)
        assert method is not None and method.digest == digest, (
            "a plan's methods are those that its process has read"
        )
        store.write(layout.method_file(name, digest), method.source)


def load_method_files(sources: Mapping[str, str], store: Store) -> None:
    """Add those of the methods to the registry that this process does not know yet, from the study
    directory.

    Raises:
        UserError: a file is missing, or is not the one the study was planned with.
    """
    for name, digest in sources.items():
        method = registry.find_user_method(name)
        if method is not None and method.digest == digest:
            continue
        path = layout.method_file(name, digest)
        try:
            source = store.read(path)
        except FileNotFoundError:
            raise UserError(
                f"{store.place(path)} is missing; launch the study again, which writes it"
            ) from None
        if sha256(source).hexdigest() != digest:
            raise UserError(
                f"{store.place(path)} is not the file that the study was planned with; "
                "launch the study again, which writes it anew"
            )
        registry.add_user_method(load_user_method(name, source, store.place(path)))


def find_changed_methods(sources: Mapping[str, str], store: Store) -> list[str]:
    """Names of methods that ran in this study directory with another content only."""
    if not sources:
        return []
    paths = set(store.list(layout.METHODS, ".py"))
    ran_before = {layout.method_name(path) for path in paths}
    return [
        name
        for name, digest in sources.items()
        if name in ran_before and layout.method_file(name, digest) not in paths
    ]
