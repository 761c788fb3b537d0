"""The channel groups of a network: what can be cut in it such that it still runs, and why the rest
cannot."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from pruning.structured.group_arrangement import OUTPUTS, arrange, follow
from pruning.structured.group_parts import Group, Structure
from pruning.structured.rehearsal import failing_module
from pruning.user_error import UserError, list_some

_Key = tuple[tuple[int, int, int], tuple[tuple[int, ...], ...]]
_newest: WeakKeyDictionary[nn.Module, tuple[_Key, Structure]] = WeakKeyDictionary()


def analyse(model: nn.Module, image: tuple[int, int, int]) -> Structure:
    """All that can be cut in a network such that it still runs, and why the rest cannot.

    A rehearsal cuts half of every group in a copy without storage and runs it. Where the forward
    pass has a width written into it, the groups of the failing module are fixed, and so on. The
    answer for one network is remembered as long as its shapes are the same.

    Raises:
        UserError: the network cannot run on such images.
    """
    shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
    newest = _newest.get(model)
    if newest is None or newest[0] != (image, shapes):
        newest = (image, shapes), _analyse(model, image)
        _newest[model] = newest
    return newest[1]


def _analyse(model: nn.Module, image: tuple[int, int, int]) -> Structure:
    followed = follow(model, image)
    structure = arrange(followed)
    while structure.groups:
        failure = failing_module(model, structure, image, compute=followed.computed)
        if failure is None:
            break
        module, reason = failure
        while not (inside := [g for g in structure.groups if _touches(g, module)]):
            module = module.rpartition(".")[0]
        for group in inside:
            part = group.of_role("writes")[0]
            followed.ties.lock(followed.labels[part.tensor, part.dim], reason)
        structure = arrange(followed)
    return structure


def _touches(group: Group, module: str) -> bool:
    return any(not module or part.tensor.startswith(f"{module}.") for part in group.parts)


def find_groups(model: nn.Module, image: tuple[int, int, int]) -> list[Group]:
    """The groups of channels that can be cut, in the order of the forward pass.

    Raises:
        UserError: the network cannot run on such images, or no channel of it can be cut; the
            message names the first layer and the reason.
    """
    structure = analyse(model, image)
    if not structure.groups:
        reasons = list(structure.fixed.values()) or ["it has no layer with channels"]
        reason = next((one for one in reasons if one != OUTPUTS), reasons[0])
        raise UserError(f"no channels of the network can be removed: {reason}")
    return list(structure.groups)


def list_fixed(structure: Structure, *, most: int = 2) -> str:
    """The layers whose channels stay, by the reason for it, as `a, b (reason); c (reason)`: the
    `most` reasons that most layers have. Empty where only the network's outputs stay."""
    layers: dict[str, list[str]] = {}
    for layer, reason in structure.fixed.items():
        if reason != OUTPUTS:
            layers.setdefault(reason, []).append(layer)
    reasons = sorted(layers, key=lambda reason: -len(layers[reason]))
    told = [f"{list_some(layers[reason])} ({reason})" for reason in reasons[:most]]
    rest = sum(len(layers[reason]) for reason in reasons[most:])
    return "; ".join(told) + (f"; and {rest} more" if rest else "")
