"""Scores of single weights that need gradients: synaptic flow, sensitivity of the loss, sensitivity
of the gradient.

All of them work on a copy: weights, buffers (running statistics of batch-norm too), modes and
gradients of the model stay as they are.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from pruning.class_examples import Batch
from pruning.double_precision import DoublePrecision
from pruning.eval_mode import exact_eval_mode
from pruning.linear_flow import LinearFlow
from pruning.masks import Masks, apply_masks, prunable
from pruning.user_error import list_some


def positive_copy(model: nn.Module, masks: Masks) -> nn.Module:
    """A float64 copy for `flow_scores`: every entry of the state dict, buffers too, by its absolute
    value; masked. Only weights that have a mask require gradients.

    float64 because the flow multiplies over the layers: 1e27 on ResNet-18, more than float32 holds
    on ResNet-110.
    """
    network = copy.deepcopy(model).to(torch.float64)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.abs_()
    apply_masks(network, masks)
    for name, weight in prunable(network).items():
        weight.requires_grad_(name in masks)
    return network


def flow_scores(
    network: nn.Module, image: tuple[int, int, int], *, replaced: set[str] | None = None
) -> dict[str, Tensor]:
    """Synaptic flow through every prunable weight: |dR/dw * w| (Tanaka et al. 2020, arXiv
    2006.05467).

    R is the sum of the logits for one input of ones, in eval mode and with all that is not linear
    on positive values taken as `linear_flow` says. In a chain without biases the scores of each
    layer sum to R.

    Args:
        network: made by `positive_copy`.
        image: (channels, height, width) of one input.
        replaced: is given the names of the operations that were taken as linear.

    Returns:
        By name, each float64 in the shape of its weight, at least 0.

    Raises:
        ValueError: R is not finite.
    """
    weights = {name: w for name, w in prunable(network).items() if w.requires_grad}
    with exact_eval_mode(network), torch.enable_grad(), DoublePrecision():
        with LinearFlow() as linear:
            flow = network(next(iter(weights.values())).new_ones(1, *image)).sum()
        gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    if replaced is not None:
        replaced |= linear.replaced
    if not torch.isfinite(flow):
        raise ValueError(
            f"the synaptic flow must be finite in float64, but is {flow.item()}; "
            "make the weights smaller"
        )
    return {
        name: (g * w.detach()).abs()
        for (name, w), g in zip(weights.items(), gradients, strict=True)
    }


def describe_zeros(scores: Mapping[str, Tensor]) -> list[str]:
    """A note on the layers in which every score is 0, so that they are removed first and by order
    alone; none where there is no such layer."""
    empty = [name for name, score in scores.items() if not bool(score.any())]
    return [f"all scores are 0 in {list_some(empty)}: removed first, by order"] if empty else []


def explain_no_score(scores: Mapping[str, Tensor]) -> str | None:
    """Why an initial network cannot be scored, where all scores are 0; None where one is not."""
    if any(bool(score.any()) for score in scores.values()):
        return None
    return (
        "every score of the initial network is 0, as where the initial weights of the classifier "
        "or of a layer that all signals pass are 0; give them other values"
    )


BatchNorm = Literal["batch", "running"]
"""Which statistics batch-norm uses for a score: those of each batch, or the running ones."""


def loss_sensitivity(
    model: nn.Module,
    masks: Masks,
    batches: Sequence[Batch],
    *,
    batch_norm: BatchNorm = "batch",
) -> dict[str, Tensor]:
    """First-order change of the loss when a weight is removed: |g * w| (SNIP, Lee et al. 2019,
    arXiv 1810.02340).

    g is the gradient of the mean cross-entropy over all images.

    Args:
        batches: (x [B, C, H, W], y int64 [B]) on the model's device.

    Returns:
        By name, each in the shape of its weight, at least 0.

    Raises:
        ValueError: no batch.
    """
    with _score_copy(model, masks, batch_norm) as network:
        weights = prunable(network, only=masks)
        gradient = _gradient(network, list(weights.values()), batches, temperature=1.0)
        return {
            name: (w.detach() * g).abs()
            for (name, w), g in zip(weights.items(), gradient, strict=True)
        }


def gradient_sensitivity(
    model: nn.Module,
    masks: Masks,
    batches: Sequence[Batch],
    *,
    temperature: float,
    batch_norm: BatchNorm = "batch",
) -> dict[str, Tensor]:
    """First-order loss of gradient norm when a weight is removed: w * Hg (GraSP, Wang et al.
    2020, arXiv 2002.07376).

    g and H are gradient and Hessian of the mean cross-entropy over all images for the prunable
    weights; without w, |g|^2 changes by about -2 w * Hg. GraSP's score is -w * Hg, of which it
    removes the largest; this is its negative, so that the largest are kept.

    Args:
        batches: (x [B, C, H, W], y int64 [B]) on the model's device.
        temperature: the logits are divided by it.

    Returns:
        By name, each in the shape of its weight, of either sign.

    Raises:
        ValueError: no batch.
    """
    with _score_copy(model, masks, batch_norm) as network:
        weights = prunable(network, only=masks)
        gradient = _gradient(network, list(weights.values()), batches, temperature=temperature)
        products = [torch.zeros_like(weight) for weight in weights.values()]
        for loss in _losses(network, batches, temperature):
            partial = torch.autograd.grad(
                loss, list(weights.values()), create_graph=True, materialize_grads=True
            )
            along = torch.stack(
                [(g * p).sum() for g, p in zip(gradient, partial, strict=True)]
            ).sum()
            _add(
                products, torch.autograd.grad(along, list(weights.values()), materialize_grads=True)
            )
        return {
            name: w.detach() * hg for (name, w), hg in zip(weights.items(), products, strict=True)
        }


@contextmanager
def _score_copy(model: nn.Module, masks: Masks, batch_norm: BatchNorm) -> Iterator[nn.Module]:
    """A masked copy with gradients, without autocast and TF32.

    Dropout stays off: its noise says nothing about a weight.
    """
    network = copy.deepcopy(model)
    apply_masks(network, masks)
    # Fused attention has no second derivative.
    with exact_eval_mode(network), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        for module in network.modules():
            # Instance-norm with running statistics, too: it trains by those of the image.
            if batch_norm == "batch" and isinstance(module, nn.modules.batchnorm._NormBase):
                module.train()
        yield network


def _losses(network: nn.Module, batches: Sequence[Batch], temperature: float) -> Iterator[Tensor]:
    """One loss per batch; they sum to the mean cross-entropy over all images."""
    total = sum(len(y) for _, y in batches)
    for x, y in batches:
        yield cross_entropy(network(x) / temperature, y, reduction="sum") / total


def _gradient(
    network: nn.Module, weights: list[nn.Parameter], batches: Sequence[Batch], *, temperature: float
) -> list[Tensor]:
    """Gradient of the mean cross-entropy over all images for some weights of the network."""
    if not batches:
        raise ValueError("the scores need at least 1 batch, but got 0")
    sums = [torch.zeros_like(weight) for weight in weights]
    for loss in _losses(network, batches, temperature):
        _add(sums, torch.autograd.grad(loss, weights, materialize_grads=True))
    return sums


def _add(sums: Sequence[Tensor], parts: Sequence[Tensor]) -> None:
    for total, part in zip(sums, parts, strict=True):
        total += part
