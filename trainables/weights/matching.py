"""A state dict in the names of a network, without what is drawn fresh, or one line that says what
does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from pruning.user_error import UserError, nearest
from trainables.weights.head_layer import find_head
from trainables.weights.misfit_hint import suggest
from trainables.weights.name_prefixes import COUNTER, equals, strip_prefixes
from trainables.weights.state_dicts import to_float32

HEAD = "head"  # stands for the layers that yield the logits


@dataclass(frozen=True)
class Matched:
    """Tensors in the names and the order of a network, without those that are drawn fresh.

    fresh: names of the tensors that are drawn. notes: what was done to make the others fit.
    """

    tensors: dict[str, Tensor]
    fresh: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """A network that weights are for, on the CPU, with its name, images and classes."""

    network: nn.Module
    model: str
    image: tuple[int, int, int]
    classes: int

    def find_head(self) -> list[str]:
        """See `head_layer.find_head`."""
        return find_head(self.network, self.image, self.classes)


def match_weights(
    tensors: Mapping[str, Tensor], target: Target, *, where: str, fresh: Sequence[str] = ()
) -> Matched:
    """The tensors of a state dict in the names of a network: on the CPU, floats in float32.

    Prefixes of wrappers are taken off (see `name_prefixes`). Counters of batches may be missing,
    and are 0 then. Of tensors that the network ties, one is enough. The network stays as it is.

    Args:
        where: the source, as an error line names it.
        fresh: names or patterns (`*`, `?`, `[...]`) of layers or tensors that are drawn from the
            seed, or `head` for the layers that yield the logits.

    Raises:
        UserError: names are missing, unexpected, misshapen or there for several networks, a value
            is no finite float, or a pattern names nothing; one line with counts, the first three of
            each, and the nearest reading.
    """
    wanted = dict(target.network.state_dict())
    drawn = find_fresh(target, fresh)
    named, notes = strip_prefixes(tensors, wanted, where=where, drawn=drawn)
    inside = tuple(f"{name.rpartition('.')[0]}." for name in drawn if "." in name)
    given = {
        name: tensor
        for name, tensor in named.items()
        if name not in drawn and (name in wanted or not name.startswith(inside or ("\0",)))
    }
    given |= _share_tied(wanted, given, drawn, where)
    needed = [name for name in wanted if name not in drawn and not name.endswith(COUNTER)]
    missing = [name for name in needed if name not in given]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        name for name in given if name in wanted and given[name].shape != wanted[name].shape
    ]
    if HEAD in fresh and not missing and not misshapen and _is_one_layer(unexpected):
        notes.append(f"left out, a head of another name: {', '.join(unexpected)}")
        given = {name: tensor for name, tensor in given.items() if name in wanted}
        unexpected = []
    if missing or unexpected or misshapen:
        wrong = "; ".join(
            [
                *_say("missing", missing),
                *_say("unexpected", unexpected),
                *_say("misshapen", [_shapes(name, given, wanted) for name in misshapen]),
            ]
        )
        kept = {name: tensor for name, tensor in wanted.items() if name not in drawn}
        hint = suggest(given, kept, _head_or_none(target), target.classes, where)
        raise UserError(f"{where} does not fit '{target.model}': {wrong}{hint}")
    _check_kinds(given, wanted, where)
    values = to_float32(given, where)
    return Matched(
        {
            name: _like(tensor, values.get(name))
            for name, tensor in wanted.items()
            if name not in drawn
        },
        tuple(name for name in wanted if name in drawn),
        notes,
    )


def find_fresh(target: Target, fresh: Iterable[str]) -> set[str]:
    """Names of the tensors that are drawn fresh: of the layers and tensors that the patterns name,
    and of all that lies in such a layer.

    Raises:
        UserError: a pattern names nothing, or `head` cannot be found.
    """
    names = list(target.network.state_dict())
    drawn: set[str] = set()
    for pattern in fresh:
        if pattern == HEAD:
            heads = tuple(f"{layer}." if layer else "" for layer in target.find_head())
            found = {name for name in names if name.startswith(heads)}
        else:
            found = {name for name in names if _names(pattern, name)}
        if not found:
            layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
            hint = nearest(pattern, [HEAD, *layers[::-1]][:30])
            raise UserError(f"fresh: no layer or tensor of '{target.model}' is '{pattern}'{hint}")
        drawn |= found
    if drawn and len(drawn) == len(names):
        raise UserError(
            "fresh names all tensors, so nothing is left of the weights; leave them out"
        )
    return drawn


def _names(pattern: str, name: str) -> bool:
    """Whether a pattern names a tensor or a layer that it lies in."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def _share_tied(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], drawn: set[str], where: str
) -> dict[str, Tensor]:
    """Tensors for the names that the network ties to ones that are given.

    Raises:
        UserError: tied tensors are given with different values.
    """
    found: dict[str, Tensor] = {}
    tied: dict[tuple[int, torch.Size], list[str]] = {}
    for name, tensor in wanted.items():
        if tensor.numel() and name not in drawn:
            tied.setdefault((tensor.data_ptr(), tensor.shape), []).append(name)
    for names in tied.values():
        have = [name for name in names if name in given]
        for name in have[1:]:
            if not equals(given[name], given[have[0]]):
                raise UserError(
                    f"{where}: '{have[0]}' and '{name}' are one tensor in the network, but differ"
                )
        if have:
            found |= {name: given[have[0]] for name in names if name not in given}
    return found


def _check_kinds(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Refuse integers and booleans where the network has floats: of quantised weights they are only
    a part.

    Raises:
        UserError: there are some.
    """
    for name, tensor in given.items():
        if wanted[name].is_floating_point() and not (
            tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized
        ):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"{where}: '{name}' is {kind}, and the network has floats there; write it as a "
                "plain float tensor, times its scale if it is quantised"
            )


def _is_one_layer(names: Sequence[str]) -> bool:
    """Whether names are the tensors of one layer."""
    layers = {name.rpartition(".")[0] for name in names}
    kinds = {name.rpartition(".")[2] for name in names}
    return len(layers) == 1 and kinds <= {"weight", "bias"}


def _like(tensor: Tensor, value: Tensor | None) -> Tensor:
    """A value for a tensor of the network: integers as the network has them; a counter that is
    missing is 0."""
    if value is None:
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    return value if tensor.is_floating_point() else value.to(tensor.dtype)


def _head_or_none(target: Target) -> list[str]:
    try:
        return target.find_head()
    except UserError:
        return []


def _say(what: str, names: Sequence[str]) -> list[str]:
    """A part of the error line: how many names, and the first three."""
    more = ", ..." if len(names) > 3 else ""
    return [f"{len(names)} {what} ({', '.join(names[:3])}{more})"] if names else []


def _shapes(name: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    have, want = (
        "x".join(map(str, tensors[name].shape)) or "scalar" for tensors in (given, wanted)
    )
    return f"{name} is {have} for {want}"
