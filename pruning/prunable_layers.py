"""Which weights of a network a trial prunes: a guard, run once per network, at plan time and when a
trial starts.

Every weight that is pruned is a parameter of its own, trained, and used in the forward pass as it
is, so that a zero in it is a zero in the network. What cannot be pruned so is left out with a note,
or refused with the layer's name, before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.layer_patterns import layer_of_weight, match_layers, match_sparsities
from pruning.masks import prunable, weight_names
from pruning.user_error import UserError
from pruning.weight_uses import ForwardUses, trace_weights

if TYPE_CHECKING:
    from pruning.method import Method


@dataclass(frozen=True)
class Selection:
    """The weights that a trial prunes.

    names: of their tensors, as in the state dict. notes: what is left out and why, and what is
    unusual, for the row. fixed: sparsities of those that the study sets apart, by name. output:
    those of them that belong to the last layer of the forward pass.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    fixed: Mapping[str, float] = field(default_factory=dict)
    output: tuple[str, ...] = ()


def select_weights(
    model: nn.Module,
    image: tuple[int, int, int],
    *,
    method: Method | None = None,
    exclude: Sequence[str] = (),
    layer_sparsity: Mapping[str, float] | None = None,
) -> Selection:
    """The weights to prune, after a look at one forward and backward pass of an image.

    Args:
        image: (channels, height, width).
        method: leaves out what it cannot prune, and one that does not prune at all is never
            refused a network; None: what any method could prune.
        exclude: layers that are left alone, by name or pattern (see `layer_patterns`).
        layer_sparsity: sparsities of layers, by name or pattern, in place of the study's; with a
            method that removes channels, the fraction of the layer's filters.

    Raises:
        UserError: a layer whose weight is not what the forward pass uses; a pattern that no layer
            matches; sparsities that do not fit; or nothing is left to prune.
    """
    refuse_empty_parameters(model)
    _refuse_scripts(model)
    weights, prunes = prunable(model), method is None or method.prunes
    with _noting_calls(model) as calls:
        uses = trace_weights(model, weights, image, gradients=True)
    layers, used = _list_layers(model), _order_layers(uses, calls)
    excluded = match_layers(exclude, layers, used, "exclude")
    fixed = match_sparsities(layer_sparsity or {}, layers, used, excluded)
    if fixed and method is not None and not method.takes_layer_sparsity:
        raise UserError(
            f"method '{method.card.title}' takes no layer_sparsity; exclude the layers instead"
        )
    if prunes:
        _refuse_computed_weights(model, excluded)
        _refuse_altered_weights(model, uses, excluded)
    reasons = _find_reasons(weights, uses, excluded)
    if method is not None:
        left = {name: use for name, use in uses.weights.items() if name not in reasons}
        reasons |= method.find_unfit(left)
    names = tuple(name for name in weights if name not in reasons)
    if prunes and not names:
        reason = f"it has no layer that can be pruned{_list_others(uses, start='; ')}"
        why = "; ".join(_describe_reasons(reasons)) or reason
        raise UserError(f"nothing is left to prune in this network: {why}")
    notes = [*_describe_reasons(reasons), *_describe_tied(model, names)]
    if prunes and uses.others:
        notes.append(_list_others(uses))
    if chosen := {name: fixed[name] for name in names if name in fixed}:
        listed = ", ".join(f"{name} {sparsity:g}" for name, sparsity in chosen.items())
        cuts = method is not None and method.cuts_channels
        own = "fraction of filters to remove" if cuts else "sparsity"
        notes.append(f"layers with a {own} of their own: {listed}")
    output = tuple(name for name in names if used and layer_of_weight(name) == used[-1])
    return Selection(names, tuple(notes), chosen, output)


def _find_reasons(
    weights: Mapping[str, Tensor], uses: ForwardUses, excluded: Mapping[str, str]
) -> dict[str, str]:
    """Why weights are left out whatever the method, by name."""
    trained = _find_trained(weights, uses)
    reasons = {name: "excluded" for name in weights if name in excluded}
    for name in weights:
        use = uses.weights.get(name)
        if use is None or not use.runs:
            how = "as it is" if use else ""
            reasons.setdefault(name, f"not used in the forward pass {how}".strip())
        elif name not in trained:
            reasons.setdefault(name, "frozen: it gets no gradient")
    return reasons


def _list_layers(model: nn.Module) -> dict[str, list[str]]:
    """Names of weights by layer, in module order; also of those that are no parameters."""
    return {
        layer: [f"{layer}.{name}" if layer else name for name in names]
        for layer, module in model.named_modules()
        if (names := weight_names(module))
    }


@contextmanager
def _noting_calls(model: nn.Module) -> Iterator[list[str]]:
    """The layers with weights that are called inside the block, in order, with repetitions."""
    calls: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, layer=layer: calls.append(layer))
        for layer, module in model.named_modules()
        if weight_names(module)
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _order_layers(uses: ForwardUses, calls: Sequence[str]) -> list[str]:
    """Layers that the forward pass uses, in order. Those whose weight is no parameter are known by
    their calls alone, and stand before what is called after them."""
    order = list(dict.fromkeys(layer_of_weight(name) for name in uses.weights))
    for index, layer in reversed(list(enumerate(calls))):
        if layer not in order:
            following = (order.index(later) for later in calls[index + 1 :] if later in order)
            order.insert(next(following, len(order)), layer)
    return order


def _computed_weights(model: nn.Module) -> list[str]:
    """Weights of layers that are no parameters, but made of others in every forward pass."""
    return [
        f"{layer}.{name}" if layer else name
        for layer, module in model.named_modules()
        for name in weight_names(module)
        if module._parameters.get(name) is None
    ]


def _refuse_computed_weights(model: nn.Module, excluded: Mapping[str, str]) -> None:
    computed = [name for name in _computed_weights(model) if name not in excluded]
    if computed:
        layer = layer_of_weight(computed[0])
        raise UserError(
            f"cannot prune layer '{layer}' ({_kind(model, computed[0])}){_and_others(computed)}: "
            "its weight is no parameter, but made of others in every forward pass, as by "
            "weight_norm, spectral_norm or torch.nn.utils.prune; make it a parameter again before "
            f"the network is returned, or exclude: [{layer}]"
        )


def _and_others(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _refuse_altered_weights(
    model: nn.Module, uses: ForwardUses, excluded: Mapping[str, str]
) -> None:
    altered = [
        name
        for name, use in uses.weights.items()
        if use.altered_by and not use.runs and name not in excluded
    ]
    if altered:
        layer, operation = layer_of_weight(altered[0]), uses.weights[altered[0]].altered_by
        raise UserError(
            f"cannot prune layer '{layer}' ({_kind(model, altered[0])}){_and_others(altered)}: the "
            f"forward pass does not use the weight itself, but what '{operation}' makes of it, "
            f"where a zero need not be zero; use a plain layer, or exclude: [{layer}]"
        )


def refuse_empty_parameters(model: nn.Module) -> None:
    """Refuse lazy layers that have no size yet.

    Raises:
        UserError: there is one.
    """
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise UserError(
                f"'{name}' has no size before the first forward pass; use a layer that knows its "
                "inputs in place of the lazy one, or run the network once before"
            )


def _refuse_scripts(model: nn.Module) -> None:
    """Refuse layers that TorchScript hides: they are none of torch's classes, and take no hooks."""
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.parameters()):
            where = f"layer '{name}'" if name else "the network"
            raise UserError(
                f"{where} is a TorchScript module, whose layers cannot be pruned; take the module "
                "that it was made from, with its weights, and script the pruned one"
            )


def _list_others(uses: ForwardUses, start: str = "") -> str:
    """A sentence on parameters that are multiplied, but belong to no layer; empty if none are."""
    names = ", ".join(uses.others)
    return f"{start}not pruned (parameters of no layer that is known): {names}" if names else ""


def _find_trained(weights: Mapping[str, Tensor], uses: ForwardUses) -> set[str]:
    """Names of the weights that a training would change: a gradient reaches them."""
    output = next(_tensors(uses.output), None)
    asked = {name: weight for name, weight in weights.items() if weight.requires_grad}
    if output is None or not output.requires_grad or not asked:
        return set()
    found = torch.autograd.grad(output.sum(), list(asked.values()), allow_unused=True)
    return {name for name, grad in zip(asked, found, strict=True) if grad is not None}


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for part in value.values() for tensor in _tensors(part))
    elif isinstance(value, list | tuple):
        yield from (tensor for part in value for tensor in _tensors(part))


def _describe_reasons(reasons: Mapping[str, str]) -> list[str]:
    """A sentence for each reason, with the weights that it keeps out."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"not pruned ({reason}): {', '.join(names)}" for reason, names in by_reason.items()]


def _describe_tied(model: nn.Module, names: Sequence[str]) -> list[str]:
    """A sentence for each weight that is there under several names."""
    chosen = {id(weight): name for name, weight in prunable(model, only=names).items()}
    others: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if chosen.get(id(parameter), name) != name:
            others.setdefault(chosen[id(parameter)], []).append(name)
    return [
        f"{name} is one tensor with {', '.join(same)}: counted and masked once"
        for name, same in others.items()
    ]


def _kind(model: nn.Module, name: str) -> str:
    module = model.get_submodule(layer_of_weight(name))
    return type(module).__name__.removeprefix("Parametrized")
