"""Weights from another study: a network that it kept, or the dense weights that its trials start
from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pruning.user_error import UserError, nearest
from trainables.saved_networks import find_saved_network, list_saved_levels
from trainables.storage import checkpoints, layout, parquet_tables
from trainables.storage.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data.loader_interface import MeanStd


@dataclass(frozen=True)
class StudyWeights:
    """A state dict of a study, the normalisation of its images where it is known, and notes."""

    tensors: dict[str, Tensor]
    normalise: MeanStd | None
    notes: list[str] = field(default_factory=list)


def read_study_weights(place: str, key: str, level: int | None) -> StudyWeights:
    """The weights of a trial of a study.

    Of a trial whose networks were kept, those of `level`, or of its last level. Else, of a dense
    trial, the weights after its last epoch, which a study stores for its other trials.

    Args:
        place: the study directory, or its URI.
        key: of the trial, or the unique beginning of one.

    Raises:
        UserError: there is no such trial, its weights are not kept, or channels were removed.
        StoreLost: the study directory cannot be used.
    """
    store = Store.at(place)
    key = _find_key(store, key)
    levels = list_saved_levels(store, key)
    if levels and (level is None or level in levels):
        return _read_network(store, key, max(levels) if level is None else level)
    epochs = checkpoints.list_state_numbers(
        store, layout.state_folder(layout.ARTIFACTS, key), "epoch"
    )
    if not epochs or level:
        there = f"; there are: {', '.join(map(str, sorted(levels)))}" if levels else ""
        raise UserError(f"the study {store.place()} keeps no level {level} of {key}{there}")
    return _read_dense(store, key, max(epochs))


def _find_key(store: Store, text: str) -> str:
    """The key of a trial with weights that equals a text or begins with it."""
    known = sorted(
        {
            layout.state_key(path)
            for part in (layout.NETWORKS, layout.ARTIFACTS)
            for path in store.list(part, ".pt")
        }
    )
    if not known:
        raise UserError(
            f"no study with weights in {store.place()}; run one there with keep_networks: all"
        )
    start = text.strip("/")
    matching = [start] if start in known else [key for key in known if key.startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(
            f"'{start}' begins {len(matching)} keys, e.g. {', '.join(matching[:3])}; "
            "give more of one"
        )
    raise UserError(f"{store.place()} keeps no weights of '{start}'{nearest(start, known[:10])}")


def _read_network(store: Store, key: str, level: int) -> StudyWeights:
    saved = find_saved_network(store, key, level, _row_digest(store, key, level))
    if saved is None:
        raise UserError(
            f"the network of level {level} of {key} in {store.place()} is damaged; run that study "
            "again, which makes it anew"
        )
    if saved.keep:
        raise UserError(
            f"channels were removed from {key}, so its weights do not fit '{saved.model}'; take a "
            "dense or masked network"
        )
    notes = [f"level {level} of {key}, a '{saved.model}'"]
    zeros = sum(int((~mask).sum()) for mask in saved.masks.values())
    if zeros:
        notes.append(f"{zeros} of its weights are zero: they were pruned")
    return StudyWeights(saved.weights, (tuple(saved.mean), tuple(saved.std)), notes)


def _read_dense(store: Store, key: str, epoch: int) -> StudyWeights:
    folder = layout.state_folder(layout.ARTIFACTS, key)
    newest = checkpoints.read_newest_state(store, folder, "epoch", epoch)
    if newest is None:
        raise UserError(
            f"the dense weights {store.place(folder)} are damaged; run that study again, which "
            "makes them anew"
        )
    return StudyWeights(newest[1], None, [f"the dense weights of {key} after epoch {epoch}"])


def _row_digest(store: Store, key: str, level: int) -> str:
    """The digest of the newest row of a level; empty where it cannot be read."""
    try:
        rows = parquet_tables.read_table(store, layout.ROWS, key).to_pylist()
    except (FileNotFoundError, parquet_tables.DamagedTable):
        return ""
    return next((str(row["digest"]) for row in reversed(rows) if row["level"] == level), "")
