"""Groups of channels, arranged from what a forward pass was found to ask of them.

The forward pass is followed once (see `label_trace`); labels that it ties together are a unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pruning.structured.channel_labels import FIXED, Ids, Origin, Ties, Width, components
from pruning.structured.group_parts import Attribute, Group, Part, Role, Structure
from pruning.structured.label_trace import example, plain_attention, with_storage, without_storage
from pruning.structured.operation_rules import trace_labels
from pruning.user_error import UserError

_FAILURES = (ValueError, TypeError, RuntimeError, AssertionError, AttributeError, IndexError)
OUTPUTS = "the network's outputs are made of them"  # why the last layer stays
_WORDS = ("head", "dim", "channel", "feature", "width", "planes", "hidden", "inner")


@dataclass
class Followed:
    """A network that was followed: what its forward pass asks, and the labels of its tensors."""

    ties: Ties
    labels: dict[Origin, Ids]
    modules: dict[str, nn.Module]
    computed: bool = False  # whether it was run on values


def follow(model: nn.Module, image: tuple[int, int, int]) -> Followed:
    """Run a copy of the network and note what its operations ask of channels.

    The copy has no storage, so that nothing is computed, unless the forward pass looks at values.

    Raises:
        UserError: the network cannot run on such images, or a layer's weight is set by a hook.
    """
    refuse_hooked_weights(model)
    try:
        return _follow(without_storage(model), image)
    except _FAILURES:
        pass
    try:
        return _follow(with_storage(model), image)
    except _FAILURES as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"the network cannot run on images of shape {image}: {text}") from error


def _follow(twin: nn.Module, image: tuple[int, int, int]) -> Followed:
    trace = trace_labels(twin)
    with plain_attention(), trace:
        outputs = twin(example(twin, image))
    for output in _tensors(outputs):
        for labels in trace.note_of(output):
            trace.ties.lock(labels.ids, OUTPUTS)
    return Followed(trace.ties, trace.labels, dict(twin.named_modules()), not _is_meta(twin))


def refuse_hooked_weights(model: nn.Module) -> None:
    """Pass if no layer has a computed tensor in its weight's place, as old `weight_norm` and
    `torch.nn.utils.prune` keep one.

    Raises:
        UserError: one has.
    """
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                raise UserError(
                    f"layer '{name}' ({type(module).__name__}): its '{attribute}' is set by "
                    "a hook; fold it into the layer first (remove_weight_norm, prune.remove)"
                )


def _is_meta(model: nn.Module) -> bool:
    return next((parameter.is_meta for parameter in model.parameters()), True)


def _tensors(outputs: object) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [tensor for part in outputs for tensor in _tensors(part)]
    return []


def arrange(followed: Followed) -> Structure:
    """The groups of a network that was followed, in the order of the forward pass."""
    ties = followed.ties
    root = ties.solve()
    written = {origin: root[ids] for origin, ids in ties.writers.items()}
    bands = [(ids, np.full_like(ids, ids[0])) for ids in written.values()]
    family = components(ties.count, bands)  # roots that one group holds, by their lowest
    locked: dict[int, str] = {}
    for ids, reason in ties.locks:
        for one in np.unique(family[root[ids[ids != FIXED]]]):
            locked.setdefault(int(one), reason)
    names: dict[int, str] = {}
    fixed = {layer: f"{layer}: its weight is computed as it runs" for layer in ties.computed}
    units: dict[int, dict[int, int]] = {}
    layers = _layer_names(written)
    for origin, ids in written.items():
        one, name = int(family[ids[0]]), layers[origin]
        if one in locked:
            fixed[name] = locked[one]
            continue
        names.setdefault(one, name)
        members = units.setdefault(one, {})
        for label in ids.tolist():
            members.setdefault(label, len(members))
    for one in [one for one in units if len(units[one]) == 1]:
        name = names.pop(one)
        fixed[name] = f"layer '{name}': its channels can only go together"
        del units[one]
    parts = _parts(followed, root, family, units)
    for one in list(names):
        if reason := _unfit(parts[one], len(units[one])):
            name = names.pop(one)
            fixed[name] = f"layer '{name}': {reason}"
    sums = {int(one) for ids in ties.sums for one in np.unique(family[root[ids]])}
    groups = tuple(
        Group(
            name,
            len(units[one]),
            tuple(layers[p.tensor, p.dim] for p in parts[one] if p.role == "writes"),
            tuple(parts[one]),
            _is_residual(parts[one], one in sums),
        )
        for one, name in names.items()
    )
    owners = {label: (names[one], unit) for one in names for label, unit in units[one].items()}
    return Structure(groups, _attributes(followed, root, owners), fixed)


def _layer_names(written: Mapping[Origin, Ids]) -> dict[Origin, str]:
    """The layer of each weight that writes channels; the second one of a weight that writes along
    two dimensions, as a tied one does, is told apart."""
    names: dict[Origin, str] = {}
    for tensor, dim in written:
        layer = tensor.removesuffix(".weight")
        names[tensor, dim] = f"{layer}[{dim}]" if layer in names.values() else layer
    return names


def _unfit(parts: Sequence[Part], units: int) -> str:
    """Why the units cannot be removed one by one; empty if they can.

    Each tensor must have entries of every unit, so that none can lose all of its entries, and as
    many of each, so that widths alone say what is left.
    """
    counts = [torch.bincount(part.unit[part.unit >= 0], minlength=units) for part in parts]
    if any(not bool(count.all()) for count in counts):
        return "some of its layers have only some of its channels"
    if any(len(count.unique()) > 1 for count in counts):
        return "its channels are not all of one width"
    return ""


def _is_residual(parts: Sequence[Part], added: bool) -> bool:
    return added and sum(part.role == "writes" for part in parts) > 1


def _parts(
    followed: Followed, root: Ids, family: Ids, units: Mapping[int, Mapping[int, int]]
) -> dict[int, list[Part]]:
    """By group, the entries of all tensors that belong to its units; writers first."""
    order = {origin: place for place, origin in enumerate(followed.ties.writers)}
    found: dict[int, list[Part]] = {one: [] for one in units}
    origins = sorted(followed.labels, key=lambda origin: order.get(origin, len(order)))
    for tensor, dim in origins:
        labels = root[followed.labels[tensor, dim]]
        for one in np.unique(family[labels]).tolist():
            if one in units:
                members = units[one]
                unit = torch.tensor([members.get(label, -1) for label in labels.tolist()])
                if bool((unit >= 0).any()):
                    role = _role(followed.ties, (tensor, dim))
                    found[one].append(Part(tensor, dim, unit, role))
    return {one: _with_writers(members) for one, members in found.items()}


def _with_writers(parts: list[Part]) -> list[Part]:
    """The parts; where all that writes are gates, for what is no layer's, these write."""
    if any(part.role == "writes" for part in parts):
        return parts
    return [replace(p, role="writes") if p.role == "gates" else p for p in parts]


def _role(ties: Ties, origin: Origin) -> Role:
    if origin in ties.writers:
        gated = any(np.isin(ties.writers[origin], gates).all() for gates in ties.gates)
        return "gates" if gated else "writes"
    if origin in ties.readers:
        return "reads"
    if origin in ties.depthwise:
        return "depthwise"
    return "scales" if origin in ties.scales else "carries"


def _attributes(
    followed: Followed, root: Ids, owners: Mapping[int, tuple[str, int]]
) -> tuple[Attribute, ...]:
    """Numbers in the modules that must follow: those that equal a width they compute with."""
    found: dict[tuple[str, str], Attribute] = {}
    for width in followed.ties.widths:
        labels = root[width.ids].tolist()
        if len(set(labels)) < 2 or not any(label in owners for label in labels):
            continue
        for name in _numbers(followed.modules[width.module], len(labels)):
            found.setdefault((width.module, name), _attribute(width, name, labels, owners))
    return tuple(found.values())


def _attribute(
    width: Width, name: str, labels: Sequence[int], owners: Mapping[int, tuple[str, int]]
) -> Attribute:
    groups = dict.fromkeys(owners[label][0] for label in labels if label in owners)
    return Attribute(
        width.module,
        name,
        {
            group: torch.tensor(
                [owners[one][1] if owners.get(one, ("",))[0] == group else -1 for one in labels]
            )
            for group in groups
        },
    )


def _numbers(module: nn.Module, value: int) -> list[str]:
    """Names of a module's own numbers that have this value and are called like a width."""
    return [
        name
        for name, number in vars(module).items()
        if type(number) is int and number == value and any(word in name for word in _WORDS)
    ]
