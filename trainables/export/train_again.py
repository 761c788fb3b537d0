"""A network that a study did not save, made again: read from the dense weights that the study has,
or trained as it was."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import torch

from pruning.masks import all_kept
from pruning.user_error import UserError
from trainables import saved_networks
from trainables.data.loader import describe_data
from trainables.dense_weights import DenseWeightsMissing
from trainables.environment import Environment
from trainables.rank_processes import open_trial
from trainables.saved_networks import SavedNetwork
from trainables.storage import checkpoints, layout
from trainables.user_method_files import load_method_files

if TYPE_CHECKING:
    from trainables.data.loader_interface import DataSetInfo
    from trainables.export.study_records import Row
    from trainables.storage.store import Store
    from trainables.trial_spec import TrialSpec


def train_again(spec: TrialSpec, row: Row, store: Store, *, data_dir: str | None) -> SavedNetwork:
    """The network of a row. What is trained again is saved in the study directory from now on; its
    rows stay as they are.

    Raises:
        UserError: the data or a method file of the user are not there, or the dense weights that
            the trial starts from are gone.
    """
    device, ranks = _find_device(spec, row)
    environment = Environment(
        store=store.uri,
        study=row["study"],
        data_dir=data_dir,
        device=device,
        ranks=ranks,
        threads=row["threads"],
        keep_networks="all",
    )
    try:
        load_method_files(spec.sources, store)
    except UserError as error:
        raise UserError(f"{spec.key} cannot be trained again: {error}") from None
    try:
        data = describe_data(
            spec.dataset,
            data_dir,
            hold_out=spec.recipe.hold_out,
            image_size=spec.image_size,
            normalise=spec.normalise,
        )
    except UserError as error:
        raise UserError(f"{error}; name the folder with --data-dir") from None
    if spec.method == "dense" and (stored := _read_dense_network(spec, row, store, data)):
        return stored
    # What may lie there is damaged, and would make the trial look done.
    saved_networks.delete_saved_level(store, spec.key, row["level"])
    try:
        open_trial(spec, environment).run()
    except DenseWeightsMissing as error:
        raise UserError(
            f"{spec.key} cannot be trained again: {error}; the study, run again, makes them"
        ) from None
    network = saved_networks.find_saved_network(store, spec.key, row["level"], row["digest"])
    if network is None:
        raise UserError(f"{spec.key} was trained again, but its level {row['level']} was not saved")
    return network


def _find_device(spec: TrialSpec, row: Row) -> tuple[Literal["cpu", "cuda"], int]:
    """Where a trial is trained again, and by how many ranks: as for its row, if this machine has as
    many GPUs.

    Raises:
        UserError: it has not, and the trial needs as many.
    """
    ranks, gpus = row.get("ranks") or 1, torch.cuda.device_count()
    if row["device"] == "cpu":
        return "cpu", ranks
    if gpus >= ranks:
        return "cuda", ranks
    if spec.norm_parts > 1:
        raise UserError(
            f"{spec.key} cannot be trained again: its batch-norm statistics are those of {ranks} "
            f"GPUs, and this machine has {gpus}"
        )
    return ("cuda" if gpus else "cpu"), 1


def _read_dense_network(
    spec: TrialSpec, row: Row, store: Store, data: DataSetInfo
) -> SavedNetwork | None:
    """A dense network of the weights that the study stores for other trials; None where those of
    the row are gone."""
    masks = all_kept(saved_networks.build_untrained(spec.model, data.image, data.classes))
    # The dense network may have been trained again, on other hardware: no reason for a warning.
    with warnings.catch_warnings(action="ignore"):
        newest = checkpoints.read_newest_state(
            store,
            layout.state_folder(layout.ARTIFACTS, spec.key),
            "epoch",
            spec.recipe.epochs,
            accept=lambda weights: checkpoints.digest_tensors(weights, masks) == row["digest"],
        )
    if newest is None:
        return None
    return SavedNetwork(
        row=row,
        model=spec.model,
        image=data.image,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        keep={},
        weights=newest[1],
        masks={},
    )
