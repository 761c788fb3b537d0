"""What a worker looks at before it opens a trial: whether it sees the driver's study directory,
whether the user's network is the driver's, and whether the trial was given up."""

import json

from models.user_modules import digest_user_module
from trainables.environment import Environment
from trainables.node_faults import NodeUnfit
from trainables.storage.launch_token import sees_launch
from trainables.storage.layout import failure_file
from trainables.storage.store import Store

_checked_models: set[tuple[str, str]] = set()  # networks of the user that this process may run


def find_other_directory(environment: Environment, node: str) -> str:
    """Why this worker must not train: it sees another folder than the driver does; else empty."""
    store = Store.at(environment.store)
    if not environment.launch or sees_launch(store, environment.launch):
        return ""
    return (
        f"{node} does not see the study directory {store.place()} of this launch: with several "
        "machines, --out must name a folder that they share, or a bucket (s3://...)"
    )


def check_network(model: str, environment: Environment) -> None:
    """Pass if a network of the user is the one that the study was launched with. Once it has been
    imported in this process it stays that one.

    Raises:
        NodeUnfit: its file here, or one that it imports, is another.
    """
    planned = environment.model_sources.get(model, "")
    if not planned or (model, planned) in _checked_models:
        return
    if digest_user_module(model.partition(":")[0]) != planned:
        raise NodeUnfit(
            f"the file of model '{model}', or one that it imports, is not the one that the study "
            "was launched with"
        )
    _checked_models.add((model, planned))


def read_verdict(key: str, store: Store) -> str:
    """The error for which the driver has given a trial up, because it kept losing its workers; else
    empty."""
    try:
        content = store.read(failure_file(key))
    except FileNotFoundError:
        return ""
    return str(json.loads(content)["error"])
