"""The state dict in what a file of weights holds: alone, or in a dictionary of a training
script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pruning.user_error import UserError, list_some, nearest
from trainables.weights.name_prefixes import AVERAGED, PLAIN, without_inner

_OTHER = ("optim", "sched", "scaler", "criterion", "loss", "teacher", "hyper", "config", "args")
_DEPTH = 4  # dictionaries in each other


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and notes on how they were found."""

    tensors: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def find_state_dict(content: Any, where: str, part: str | None = None) -> StateDict:
    """The state dict in what a file holds.

    Of several, one of averaged weights (`ema`, `model_ema`, ...) is taken before the last weights
    of the training, and a note says so: it is the one that programs evaluate. `part` takes another.

    Args:
        where: the file, as an error line names it.
        part: the name of a part of the file, where the file has several (`nets/student`: one in
            another), or what the names of the wanted tensors begin with.

    Raises:
        UserError: there is none, or several without a name that tells.
    """
    if part is not None:
        return _take_part(content, where, part, "")
    return _find(content, where, "")


def _take_part(content: Any, where: str, part: str, path: str) -> StateDict:
    names = [str(name) for name in content] if isinstance(content, Mapping) else []
    if isinstance(content, Mapping):
        for name, value in content.items():
            if str(name) == part:
                return _find(value, where, f"{path}{part}/")
            if part.startswith(f"{name}/"):
                return _take_part(value, where, part[len(f"{name}/") :], f"{path}{name}/")
        inside = _take_behind(content, where, f"{part.removesuffix('.')}.")
        if inside is not None:
            return inside
    raise UserError(f"{where} has no part '{path}{part}'{nearest(part, names[:30])}")


def _take_behind(content: Mapping[Any, Any], where: str, prefix: str) -> StateDict | None:
    """The tensors of the one state dict whose names begin with a prefix, without it; None where
    there are none."""
    try:
        found = _find(content, where, "")
    except UserError:
        return None
    plain = {without_inner(name): tensor for name, tensor in found.tensors.items()}
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in plain.items()
        if name.startswith(prefix)
    }
    notes = [*found.notes, f"taken: what begins with '{prefix}'"]
    return StateDict(inside, notes) if inside else None


def _find(content: Any, where: str, path: str) -> StateDict:
    if isinstance(content, nn.Module):
        return StateDict(dict(content.state_dict()))
    if not _count_tensors(content, _DEPTH):
        raise UserError(f"{where} holds no state dict but {_describe(content)}")
    return _search(content, where, path, _DEPTH)


def _count_tensors(content: Any, depth: int) -> int:
    """The most tensors that one of the dictionaries in each other has; numbers, such as an accuracy
    or a decay, and what optimisers keep are none."""
    if not isinstance(content, Mapping) or not depth or content.keys() >= {"state", "param_groups"}:
        return 0
    here = sum(isinstance(value, Tensor) and value.dim() > 0 for value in content.values())
    return max([here, *_count_inside(content, depth).values()])


def _count_inside(content: Mapping[Any, Any], depth: int) -> dict[str, int]:
    """For each dictionary in another that may hold weights, how many tensors it has."""
    counts = {
        str(name): _count_tensors(value, depth - 1)
        for name, value in content.items()
        if not str(name).lower().startswith(_OTHER)
    }
    return {name: count for name, count in counts.items() if count}


def _search(content: Mapping[Any, Any], where: str, path: str, depth: int) -> StateDict:
    """The state dict in dictionaries that hold one."""
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    inside = _count_inside(content, depth)
    known = [name for name in (*AVERAGED, *PLAIN) if name in inside]
    here = sum(tensor.dim() > 0 for tensor in tensors.values())
    if here > max(inside.values(), default=0) and not known:
        others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
        notes = [f"left out of the file: {_listed(others)}"] if others else []
        return StateDict(tensors, notes)
    if not known and len(inside) > 1:
        names = _listed([f"{path}{name}" for name in inside])
        raise UserError(f"{where} holds several state dicts: {names}; name one as FILE#NAME")
    chosen = known[0] if known else next(iter(inside))
    value = next(value for name, value in content.items() if str(name) == chosen)
    found = _search(value, where, f"{path}{chosen}/", depth - 1)
    notes = [f"the weights are those under '{path}{chosen}'"]
    rest = [f"{path}{name}" for name in inside if name != chosen]
    if rest:
        notes = [f"{notes[0]}; FILE#NAME takes {_listed(rest)}"]
    return StateDict(found.tensors, [*notes, *found.notes])


def to_float32(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors on the CPU and dense, floating-point ones in float32; integers stay.

    Raises:
        UserError: a tensor is sparse, quantised, complex, without values, or has values that are
            not finite.
    """
    moved = {}
    for name, tensor in tensors.items():
        kind = _unusable(tensor)
        if kind:
            raise UserError(f"{where}: '{name}' is {kind}; write it as a plain float tensor")
        value = tensor.detach().cpu()
        if value.is_floating_point():
            value = value.to(torch.float32)
            if not bool(torch.isfinite(value).all()):
                bad = int((~torch.isfinite(value)).sum())
                raise UserError(
                    f"{where}: {bad} of {value.numel()} values of '{name}' are not finite (inf or "
                    "nan); the training that wrote it had failed: take an earlier checkpoint"
                )
        moved[name] = value.contiguous().clone()
    return moved


def _unusable(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "without values (on the meta device)"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout != torch.strided:
        return "sparse"
    return "complex" if tensor.is_complex() else ""


def _describe(content: Any) -> str:
    if isinstance(content, Tensor):
        return f"one tensor of shape {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary of {_listed([str(name) for name in content])}" if content else "{}"
    if isinstance(content, list | tuple):
        return f"a {type(content).__name__} of {len(content)}"
    return f"a {type(content).__name__}"


def _listed(names: list[str]) -> str:
    return list_some([f"'{name}'" for name in names])
