"""The trained weights that a study begins with: read from their source, named by a digest, and put
into the study directory, so that every node has them and the study goes on where the source is
gone.

torch is imported only where a study begins with weights.
"""

from __future__ import annotations

from typing import Any

from pruning.user_error import UserError
from sweeps.study_file.start_fields import ChannelStatistics
from sweeps.study_file.study import StudySpec
from trainables.data.data_size import read_data_size
from trainables.storage.store import Store
from trainables.weights.given_weights import (
    GivenWeights,
    WeightsRecord,
    WeightsRequest,
    recall_weights,
    remember_weights,
    store_given_weights,
)


def resolve_weights(study: StudySpec, store: Store) -> StudySpec:
    """The study with the digest of all weights that its trials begin with, and with the mean and
    std that they bring, where the study says nothing else.

    Raises:
        UserError: a source cannot be read, or does not fit the network, and the study directory
            does not hold the weights; or a digest is another than the study says.
    """
    if all(setting.weights is None for setting in study.settings):
        return study
    first, *others = (_resolve(setting, store) for setting in study.settings)
    return first.model_copy(update={"also": others})


def put_weights(study: StudySpec, store: Store) -> None:
    """Put the weights that the trials of a resolved study begin with into the study directory.

    Raises:
        UserError: a source cannot be read, or gives other weights each time, and the directory
            does not hold its weights.
    """
    for setting in study.settings:
        if setting.weights and recall_weights(store, make_request(setting)) is None:
            given = _read(setting)
            if given.digest != setting.weights.digest:
                raise UserError(
                    f"'{setting.weights.source}' gave other weights a moment ago: give a source "
                    "that stays as it is, such as a file"
                )
            store_given_weights(store, given, source=setting.weights.source)
            remember_weights(store, make_request(setting), given)


def describe_start(study: StudySpec) -> list[str]:
    """A line for each setting of a resolved study that begins with trained weights."""
    lines = []
    for setting in study.settings:
        if weights := setting.weights:
            name = weights.source.rsplit("/", 1)[-1]
            fresh = ", ".join(weights.fresh_layers)
            drawn = f"; {fresh} drawn from the seed" if fresh else ""
            lines.append(f"begins with: {setting.model} with {name} ({weights.digest}){drawn}")
    return lines


def _resolve(setting: StudySpec, store: Store) -> StudySpec:
    """One setting with the digest of its weights, and their mean and std."""
    weights = setting.weights
    if weights is None:
        return setting
    given: GivenWeights | WeightsRecord
    try:
        given = _read(setting)
    except UserError:
        stored = recall_weights(store, make_request(setting))
        if stored is None:
            raise
        given = stored
    if weights.digest not in (None, given.digest):
        raise UserError(
            f"weights.digest is {weights.digest}, but the tensors of '{weights.source}' have "
            f"{given.digest}: give the file of that digest, or leave the digest out"
        )
    update: dict[str, Any] = {"weights": weights.model_copy(update={"digest": given.digest})}
    if setting.normalise is None and given.normalise:
        mean, std = given.normalise
        update["normalise"] = ChannelStatistics(mean=list(mean), std=list(std))
    return setting.model_copy(update=update)


def make_request(setting: StudySpec) -> WeightsRequest:
    """What weights a setting that begins with some asks for."""
    assert setting.weights is not None, "only a setting with weights asks for some"
    size = read_data_size(setting.dataset, setting.data_dir, setting.image_size)
    return WeightsRequest(
        source=setting.weights.source,
        model=setting.model,
        image=size.image,
        classes=size.classes,
        fresh=setting.weights.fresh_layers,
    )


def _read(setting: StudySpec) -> GivenWeights:
    from trainables.weights.sources import read_weights

    request = make_request(setting)
    return read_weights(
        request.source,
        model=request.model,
        image=request.image,
        classes=request.classes,
        fresh=request.fresh,
        data_dir=setting.data_dir,
    )
