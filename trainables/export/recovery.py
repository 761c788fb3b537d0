"""A network that a study did not keep, made again: read from its dense weights, or trained as it
was."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from pruning.masks import all_kept
from pruning.user_error import UserError
from trainables import saved_networks
from trainables.data.prepared import obtain
from trainables.environment import Environment
from trainables.phase_runner import ParentMissing
from trainables.saved_networks import Kept
from trainables.storage import checkpoints
from trainables.trial import Trial
from trainables.user_method_files import fetch

if TYPE_CHECKING:
    from trainables.export.choice import Row
    from trainables.storage.store import Store
    from trainables.trial_spec import TrialSpec


def recover(spec: TrialSpec, row: Row, store: Store, *, data_dir: str | None) -> Kept:
    """The network of a row. What is trained again is kept in the study directory from now on; its
    rows stay.

    Raises:
        UserError: the data cannot be had, or the dense weights it starts from are gone.
    """
    environment = Environment(
        store=store.uri,
        study=row["study"],
        data_dir=data_dir,
        device="cpu" if row["device"] == "cpu" or not torch.cuda.is_available() else "cuda",
        threads=row["threads"],
        keep_networks="all",
    )
    try:
        fetch(spec.sources, store)
    except UserError as error:
        raise UserError(f"{spec.key} cannot be trained again: {error}") from None
    try:
        if spec.method == "dense" and (found := _stored(spec, row, store, data_dir)):
            return found
        # What may lie there is damaged, and would make the trial look done.
        checkpoints.drop(store, saved_networks.folder(spec.key), "level", row["level"])
        Trial(spec, environment).run()
    except UserError as error:
        raise UserError(f"{error}; name the folder with --data-dir") from None
    except ParentMissing as error:
        raise UserError(
            f"{spec.key} cannot be trained again: {error}; the study, run again, makes them"
        ) from None
    network = saved_networks.find(store, spec.key, row["level"], row["digest"])
    if network is None:
        raise UserError(f"{spec.key} was trained again, but its level {row['level']} was not kept")
    return network


def _stored(spec: TrialSpec, row: Row, store: Store, data_dir: str | None) -> Kept | None:
    """A dense network of the weights that the study stores for other trials; None where those of
    the row are gone."""
    data = obtain(spec.dataset, data_dir=data_dir)
    data = data if spec.recipe.hold_out else data.joined()
    masks = all_kept(saved_networks.fresh(spec.model, data.image, data.classes))
    with warnings.catch_warnings(
        action="ignore"
    ):  # the dense network may have been trained anew, on other hardware
        found = checkpoints.newest(
            store,
            f"artifacts/{spec.key}",
            "epoch",
            spec.recipe.epochs,
            accept=lambda weights: checkpoints.digest(weights, masks) == row["digest"],
        )
    return (
        Kept(row, spec.model, data.image, data.classes, data.mean, data.std, {}, found[1], {})
        if found
        else None
    )
