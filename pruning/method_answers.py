"""What a method answers, compared with what it was asked for: scores and masks by name of the
weight, in its shape; and what it must leave as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pruning.user_error import list_some


class WrongAnswer(ValueError):
    """Scores or masks that do not fit the weights that are pruned."""


def check_scores_fit(scores: Any, masks: Mapping[str, Tensor]) -> None:
    """Pass if there is a number for each weight that has a mask, and for no other.

    Raises:
        WrongAnswer: otherwise; the message names the layer.
    """
    _check_fit(scores, masks, "scores")
    for name, score in scores.items():
        if score.is_complex():
            raise WrongAnswer(f"scores of '{name}' must be real, but are {_kind(score)}")


def check_masks_fit(masks: Any, weights: Mapping[str, Tensor]) -> None:
    """Pass if there is a bool for each of the weights, and for no other.

    Raises:
        WrongAnswer: otherwise; the message names the layer.
    """
    _check_fit(masks, weights, "masks")
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise WrongAnswer(
                f"masks must be bool, True where a weight is kept, but that of '{name}' is "
                f"{_kind(mask)}"
            )


def _check_fit(given: Any, weights: Mapping[str, Tensor], what: str) -> None:
    if not isinstance(given, Mapping):
        raise WrongAnswer(
            f"{what} must be tensors by name of the weight, but got {type(given).__name__}"
        )
    if missing := [name for name in weights if name not in given]:
        raise WrongAnswer(
            f"{what} are missing for {_quote(missing)}: there must be one tensor for each of "
            "inputs.weights"
        )
    if other := [name for name in given if name not in weights]:
        raise WrongAnswer(
            f"{what} are given for {_quote(other)}, which are not to be pruned (excluded, or no "
            "weights of a layer): take only those of inputs.weights"
        )
    for name, weight in weights.items():
        if not isinstance(given[name], Tensor):
            raise WrongAnswer(
                f"{what} of '{name}' must be a tensor, but got {type(given[name]).__name__}"
            )
        if given[name].shape != weight.shape:
            raise WrongAnswer(
                f"{what} of '{name}' must have the shape of the weight, {tuple(weight.shape)}, "
                f"but got {tuple(given[name].shape)}"
            )


def _quote(names: list[Any]) -> str:
    return list_some([f"'{name}'" for name in names])


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


@contextmanager
def leaving_gradients(model: nn.Module) -> Iterator[None]:
    """Afterwards every parameter has the gradient that it had before, and requires one if it did: a
    method that computes gradients leaves none to the first step of the training that follows."""
    before = [(weight, weight.grad, weight.requires_grad) for weight in model.parameters()]
    for weight, _, _ in before:
        weight.grad = None
    try:
        yield
    finally:
        for weight, gradient, required in before:
            weight.grad = gradient
            weight.requires_grad_(required)
