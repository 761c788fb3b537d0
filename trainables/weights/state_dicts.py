"""The state dict in what a file of weights holds: alone, or in a dictionary of a training
script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pruning.user_error import UserError, list_some, nearest

# Names under which programs store the averaged weights of a training, and the last ones. Averaged
# ones come first: where both are there, they are what the program evaluated and reported.
AVERAGED = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema"),
    "averaged_model",
)
PLAIN = (
    *("state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net"),
    *("network_state_dict", "network", "params", "weights", "module", "student", "backbone"),
)
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
        part: the name of a part of the file, where the file has several.

    Raises:
        UserError: there is none, or several without a name that tells.
    """
    if part is not None:
        if not isinstance(content, Mapping) or part not in content:
            names = [str(name) for name in content] if isinstance(content, Mapping) else []
            raise UserError(f"{where} has no part '{part}'{nearest(part, names[:30])}")
        content = content[part]
    if isinstance(content, nn.Module):
        return StateDict(dict(content.state_dict()))
    found = _search(content, where, _DEPTH)
    if found is None:
        raise UserError(f"{where} holds no state dict but {_describe(content)}")
    return found


def _search(content: Any, where: str, depth: int) -> StateDict | None:
    if not isinstance(content, Mapping) or not depth:
        return None
    inside = {
        str(name): found
        for name, value in content.items()
        if isinstance(value, Mapping)
        and not str(name).lower().startswith(_OTHER)
        and (found := _search(value, where, depth - 1)) is not None
    }
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    known = [name for name in (*AVERAGED, *PLAIN) if name in inside]
    if tensors and not known:
        others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
        notes = [f"left out of the file: {_listed(others)}"] if others else []
        return StateDict(tensors, notes)
    if not known and len(inside) > 1:
        raise UserError(
            f"{where} holds several state dicts: {_listed(list(inside))}; name one as FILE#NAME"
        )
    if not inside:
        return None
    chosen = known[0] if known else next(iter(inside))
    found = inside[chosen]
    rest = [name for name in inside if name != chosen]
    notes = [f"the weights are those under '{chosen}'"]
    if rest:
        notes = [f"the weights are those under '{chosen}'; FILE#NAME takes {_listed(rest)}"]
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
