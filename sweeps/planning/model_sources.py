"""The files of the user's networks, by their digests: a study goes on only with the networks that
it began with.

Trials share weights: those of a dense training become the beginning of other trials. With a network
that was edited in between, two networks would stand in one table under one name.
"""

import json
from collections.abc import Iterable

from models.model_registry import is_users_model
from models.user_modules import digest_user_module
from pruning.user_error import UserError
from trainables.storage import layout
from trainables.storage.store import Store, StoreLost


def digest_models(models: Iterable[str]) -> dict[str, str]:
    """The digest of each network that is the user's, by its name; see `digest_user_module`."""
    return {
        model: digest
        for model in dict.fromkeys(models)
        if is_users_model(model) and (digest := digest_user_module(model.partition(":")[0]))
    }


def check_model_sources(models: Iterable[str], store: Store) -> None:
    """Refuse networks of the user whose files have changed since a launch in this directory.

    Raises:
        UserError: the file of one, or one that it imports, is another.
    """
    before = _read(store)
    for model, digest in digest_models(models).items():
        if before.get(model, digest) != digest:
            raise UserError(
                f"{store.place()} holds trials of model '{model}' as it was before its file, or "
                "one that this imports, was edited; bring it back, choose another --out, or "
                "--fresh to delete what is there"
            )


def record_model_sources(models: Iterable[str], store: Store) -> dict[str, str]:
    """Record the networks that this launch runs, and return their digests. Those of a directory
    that an older version began count as unchanged."""
    digests = digest_models(models)
    if digests:
        content = json.dumps({**_read(store), **digests}, indent=1, sort_keys=True)
        store.write(layout.MODEL_SOURCES_FILE, content.encode())
    return digests


def _read(store: Store) -> dict[str, str]:
    try:
        read = json.loads(store.read(layout.MODEL_SOURCES_FILE))
        return {str(model): str(digest) for model, digest in read.items()}
    except StoreLost:
        raise
    except (OSError, ValueError, AttributeError):  # none, or cut off: it is written anew
        return {}
