"""Masks: which prunable weights are kept. Always beside the model, never inside it.

A mask is a bool tensor in the shape of its weight, True where the weight is kept. Prunable are the
weights of convolutions (transposed ones too), linear layers, attention's projections and recurrent
layers; biases, normalisation and embeddings are not. Which of them a trial prunes, its masks say:
see `prunable_layers`.
"""

from collections.abc import Collection, Mapping
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from pruning.top_scores import check_scores, find_top

Masks = Mapping[str, Tensor]


_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def weight_names(module: nn.Module) -> tuple[str, ...]:
    """The attributes of a layer that hold its weights; none of a layer that is not prunable."""
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        return ("weight",)
    if isinstance(module, nn.MultiheadAttention):
        return tuple(name for name in _PROJECTIONS if getattr(module, name, None) is not None)
    if isinstance(module, nn.RNNBase):
        return tuple(name for name in module._flat_weights_names if name.startswith("weight"))
    return ("weight_ih", "weight_hh") if isinstance(module, nn.RNNCellBase) else ()


def prunable(model: nn.Module, only: Collection[str] | None = None) -> dict[str, nn.Parameter]:
    """The prunable weights by state-dict name, in module order; a tensor that several layers share
    is there once, by its first name.

    Args:
        only: names of those that are wanted, e.g. the masks of a trial; None: all.
    """
    weights: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for layer, module in model.named_modules():
        for name in weight_names(module):
            weight = module._parameters.get(name)
            if weight is not None and id(weight) not in seen:
                seen.add(id(weight))
                weights[f"{layer}.{name}" if layer else name] = weight
    return {name: weights[name] for name in weights if only is None or name in only}


def all_kept(model: nn.Module) -> dict[str, Tensor]:
    """Masks that keep every prunable weight."""
    return {
        name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()
    }


def kept_count(sparsity: float, total: int) -> int:
    """How many of `total` weights are kept at a sparsity: `round((1 - sparsity) * total)`.

    Raises:
        ValueError: sparsity outside [0, 1].
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must be in [0, 1], but got {sparsity}")
    return round((1 - sparsity) * total)


def sparsity_of(masks: Masks) -> float:
    """Fraction of prunable weights that the masks remove, 0..1."""
    total = sum(mask.numel() for mask in masks.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    return 1 - kept / total if total else 0.0


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Set every masked weight of the model to zero, in place."""
    weights = prunable(model)
    for name, mask in masks.items():
        weights[name].masked_fill_(~mask, 0)


def keep_top(scores: Tensor, count: int) -> Tensor:
    """Mask of exactly the `count` largest entries of a flat score vector; ties go to the lower
    index.

    Raises:
        ValueError: a score is NaN, or fewer than `count` entries are candidates (scores above
            -inf).
    """
    (candidates,) = check_scores([scores])
    return _keep_candidates(scores, count, candidates)


def _keep_candidates(scores: Tensor, count: int, candidates: int) -> Tensor:
    """`keep_top` of scores that are checked already."""
    if count > candidates:
        raise ValueError(f"cannot keep {count} weights: only {candidates} are left")
    return find_top(scores, count)


def keep_best(
    scores: Mapping[str, Tensor],
    sparsity: float,
    *,
    masks: Masks | None = None,
    scope: Literal["global", "layer"] = "global",
    fixed: Mapping[str, float] | None = None,
) -> dict[str, Tensor]:
    """Masks that keep exactly `round((1 - sparsity) * N)` weights, those with the highest scores;
    the host waits for the device once.

    N counts all prunable weights. Weights that `masks` already removes stay removed. With scope
    "layer" every layer has the same sparsity, up to the weights that make the total exact; a layer
    of which `masks` keeps fewer than its share keeps those.

    Args:
        scores: by name, each in the shape of its weight.
        fixed: sparsities of layers that the study sets apart, by name; they have these exactly,
            and N counts the weights of the others.

    Raises:
        ValueError: sparsity outside [0, 1], a NaN score, or more weights to keep than `masks`
            leaves.
    """
    flat = {
        name: _candidates(score, masks[name] if masks else None) for name, score in scores.items()
    }
    left = dict(zip(flat, check_scores(list(flat.values()), list(flat)), strict=True))
    apart = {name: fixed[name] for name in scores if fixed and name in fixed}
    together = {name: score for name, score in flat.items() if name not in apart}
    kept = _keep_share(together, sparsity, left, scope) if together else {}
    for name, own in apart.items():
        kept |= _keep_share({name: flat[name]}, own, left, "global")
    return {name: kept[name].view_as(score) for name, score in scores.items()}


def _keep_share(
    flat: Mapping[str, Tensor],
    sparsity: float,
    left: Mapping[str, int],
    scope: Literal["global", "layer"],
) -> dict[str, Tensor]:
    """Flat masks of layers that share a sparsity; `left` counts the candidates of each."""
    sizes = {name: score.numel() for name, score in flat.items()}
    total = kept_count(sparsity, sum(sizes.values()))
    if scope == "global":
        candidates = sum(left[name] for name in flat)
        together = _keep_candidates(torch.cat(list(flat.values())), total, candidates)
        return dict(zip(flat, together.split(list(sizes.values())), strict=True))
    limits = {name: left[name] for name in flat}
    counts = spread(dict.fromkeys(flat, 1 - sparsity), sizes, total, limits=limits)
    return {name: find_top(score, counts[name]) for name, score in flat.items()}


def _candidates(score: Tensor, mask: Tensor | None) -> Tensor:
    """Flat float scores in which weights already removed cannot be chosen."""
    flat = score.detach().reshape(-1)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    return flat if mask is None else flat.masked_fill(~mask.reshape(-1), -torch.inf)


def draw_masks(
    counts: Mapping[str, int], masks: Masks, generator: torch.Generator
) -> dict[str, Tensor]:
    """Masks that keep `counts` weights of each layer, drawn uniformly from those that `masks`
    keeps.

    Drawn on the CPU, so that they do not depend on the device.

    Raises:
        ValueError: a layer has fewer weights left than it shall keep.
    """
    drawn = {}
    for name, mask in masks.items():
        scores = torch.rand(mask.numel(), generator=generator).to(mask.device)
        drawn[name] = keep_top(
            scores.masked_fill(~mask.reshape(-1), -torch.inf), counts[name]
        ).view_as(mask)
    return drawn


def erk_densities(shapes: Mapping[str, tuple[int, ...]], total: int) -> dict[str, float]:
    """Layer densities by the Erdos-Renyi-kernel rule for `total` kept weights (Evci et al. 2020,
    arXiv 1911.11134).

    A layer's density is proportional to (in + out + kh + kw) / (in * out * kh * kw), so that small
    layers stay denser; layers that would exceed 1 are dense.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / prod(shape) for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        free = [name for name in shapes if name not in dense]
        left = total - sum(sizes[name] for name in dense)
        weight = sum(raw[name] * sizes[name] for name in free)
        scale = left / weight if weight else 0.0
        over = {name for name in free if raw[name] * scale > 1}
        if not over:
            return {name: 1.0 if name in dense else raw[name] * scale for name in shapes}
        dense |= over


def spread(
    densities: Mapping[str, float],
    sizes: Mapping[str, int],
    total: int,
    *,
    limits: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Whole numbers of kept weights per layer that follow `densities` and sum to exactly `total`.

    The largest-remainder rule: each layer gets the floor of density x size, and the weights still
    missing are given to the layers with the largest fractions (the first on a tie). No layer gets
    more than its limit.

    Args:
        limits: the most that each layer can hold, where that is less than its size: what an earlier
            prune left of it. Shares of rising sparsities do not fall one by one without them, since
            the rounding may favour another layer each time.

    Raises:
        ValueError: the layers cannot hold `total` weights.
    """
    limits = sizes if limits is None else limits
    if not 0 <= total <= sum(sizes.values()):
        raise ValueError(f"cannot keep {total} of {sum(sizes.values())} weights")
    if total > (left := sum(limits.values())):
        raise ValueError(f"cannot keep {total} weights: only {left} are left")
    exact = {name: min(max(densities[name], 0.0) * sizes[name], limits[name]) for name in sizes}
    lacking = total - sum(exact.values())
    if lacking > len(exact):  # far from the densities: every layer takes a part of it, by its room
        part = lacking / (left - sum(exact.values()))
        exact = {name: share + part * (limits[name] - share) for name, share in exact.items()}
    counts = {name: int(share) for name, share in exact.items()}
    # Sorting is stable: ties stay in layer order.
    order = sorted(sizes, key=lambda name: counts[name] - exact[name])
    while (missing := total - sum(counts.values())) != 0:
        step = 1 if missing > 0 else -1
        room = [
            name
            for name in order
            if (counts[name] < limits[name] if step > 0 else counts[name] > 0)
        ]
        for name in room[: abs(missing)]:
            counts[name] += step
    return counts


def layer_counts(
    densities: Mapping[str, float],
    sizes: Mapping[str, int],
    sparsity: float,
    fixed: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Kept weights per layer by `densities`, exactly `round((1 - sparsity) * N)` in all; layers
    with a sparsity of their own in `fixed` have that, and N counts the weights of the others."""
    fixed = fixed or {}
    others = {name: size for name, size in sizes.items() if name not in fixed}
    counts = spread(densities, others, kept_count(sparsity, sum(others.values())))
    return {
        name: counts[name] if name in counts else kept_count(fixed[name], size)
        for name, size in sizes.items()
    }
