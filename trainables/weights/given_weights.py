"""Given weights in the study directory: every node reads them there, and the study continues where
the file that they came from is gone.

`weights/<digest>.safetensors` holds the tensors, `weights/<name>.json` records which digest a
request for weights had. Importing this does not import torch: studies are planned with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from pruning.user_error import UserError
from trainables.data.loader_interface import MeanStd
from trainables.storage import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainables.storage.store import Store

"""Mean and standard deviation per channel, in 0..1."""


@dataclass(frozen=True)
class WeightsRequest:
    """What weights were asked for: the source as the user wrote it, and the network they are for.

    image: (channels, height, width). fresh: as the user wrote it.
    """

    source: str
    model: str
    image: tuple[int, int, int]
    classes: int
    fresh: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """16 hex digits that differ where requests differ."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """Trained weights for one network.

    tensors: in the names and the order of the network's state dict, without the fresh ones; on the
    CPU, floats in float32. digest: see `digest_weights`. fresh: names of the tensors that are drawn
    from the seed. normalise: mean and standard deviation of the weights' own training, where the
    source says. notes: what the user should know of them.
    """

    tensors: dict[str, Tensor]
    digest: str
    fresh: tuple[str, ...] = ()
    normalise: MeanStd | None = None
    notes: list[str] = field(default_factory=list)


class WeightsRecord(BaseModel):
    """What a request for weights gave; a `weights/<name>.json`. fresh: names of tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    digest: str
    fresh: tuple[str, ...]
    normalise: MeanStd | None
    notes: tuple[str, ...]


def digest_weights(tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits of the SHA-256 over names (sorted), shapes, types and bytes: equal only if
    bit-equal, whatever file the tensors came in."""
    from trainables.storage.checkpoints import digest_tensors

    return digest_tensors({name: tensors[name] for name in sorted(tensors)})


def store_given_weights(store: Store, given: GivenWeights, *, source: str) -> None:
    """Write the tensors into the study directory, unless they are there, whole.

    Args:
        source: where they came from, which is noted in the file.
    """
    from safetensors.torch import save

    if _is_whole(store, given.digest):
        return
    # The format has no shared memory: a tensor that two layers share is written for each.
    apart = {name: tensor.contiguous().clone() for name, tensor in given.tensors.items()}
    content = save(apart, metadata={"format": "pt", "source": source})
    store.write(layout.weights_file(given.digest), content)


def remember_weights(store: Store, request: WeightsRequest, given: GivenWeights) -> None:
    """Record in the study directory which weights a request gave; their tensors are stored
    apart."""
    record = WeightsRecord(
        source=request.source,
        digest=given.digest,
        fresh=given.fresh,
        normalise=given.normalise,
        notes=tuple(given.notes),
    )
    store.write(layout.weights_record_file(request.name), record.model_dump_json().encode())


def recall_weights(store: Store, request: WeightsRequest) -> WeightsRecord | None:
    """What the same request gave before in this study directory; None where it was not made, its
    record is damaged, or its tensors are gone."""
    try:
        content = store.read(layout.weights_record_file(request.name))
        record = WeightsRecord.model_validate_json(content)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return record if store.exists(layout.weights_file(record.digest)) else None


def copy_weights(request: WeightsRequest, store: Store, to: Store) -> None:
    """Give another study directory what a request gave in this one, so that it need not be read
    from its source again; nothing where the request was not made here."""
    record = recall_weights(store, request)
    if record is not None:
        for path in (layout.weights_file(record.digest), layout.weights_record_file(request.name)):
            to.write(path, store.read(path))


def read_given_weights(store: Store, digest: str) -> dict[str, Tensor]:
    """The tensors with that digest, on the CPU, in the order of the network's names.

    Raises:
        UserError: they are not there or damaged; one line.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = layout.weights_file(digest)
    again = "launch the study again where the weights' source is, which writes them anew"
    try:
        tensors = load(store.read(path))
    except FileNotFoundError:
        raise UserError(f"{store.place(path)} is missing; {again}") from None
    except (SafetensorError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{store.place(path)} is damaged ({reason}); {again}") from error
    if digest_weights(tensors) != digest:
        raise UserError(f"{store.place(path)} is damaged: it has another digest; {again}")
    return tensors


def _is_whole(store: Store, digest: str) -> bool:
    """Whether the tensors are there, undamaged."""
    if not store.exists(layout.weights_file(digest)):
        return False
    try:
        read_given_weights(store, digest)
    except UserError:
        return False
    return True
