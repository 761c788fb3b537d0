"""What a method answers: each misfit is one line that names the layer, and nothing else of the
network is changed by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.masks import all_kept, keep_best
from pruning.method_answers import (
    WrongAnswer,
    check_masks_fit,
    check_scores_fit,
    leaving_gradients,
)

WEIGHTS = {"conv.weight": torch.randn(4, 1, 3, 3), "fc.weight": torch.randn(2, 16)}
MASKS = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in WEIGHTS.items()}


def changed(**entries: Any) -> dict[str, Any]:
    """The weights as scores, some of them replaced."""
    return {**WEIGHTS, **{f"{name}.weight": value for name, value in entries.items()}}


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        (None, "scores must be tensors by name of the weight, but got NoneType"),
        ([WEIGHTS["fc.weight"]], "scores must be tensors by name of the weight, but got list"),
        ({"fc.weight": WEIGHTS["fc.weight"]}, "scores are missing for 'conv.weight': there must"),
        (
            changed(stem=torch.zeros(3)),
            "scores are given for 'stem.weight', which are not to be pruned",
        ),
        (
            changed(conv=torch.zeros(4)),
            "scores of 'conv.weight' must have the shape of the weight, (4, 1, 3, 3), but got (4,)",
        ),
        (changed(fc=[1.0]), "scores of 'fc.weight' must be a tensor, but got list"),
        (
            changed(fc=torch.zeros(2, 16, dtype=torch.complex64)),
            "scores of 'fc.weight' must be real, but are complex64",
        ),
    ],
)
def test_scores_that_do_not_fit_name_the_layer(scores: Any, line: str) -> None:
    with pytest.raises(WrongAnswer) as caught:
        check_scores_fit(scores, MASKS)
    assert str(caught.value).startswith(line)


def test_what_fits_passes() -> None:
    check_scores_fit(WEIGHTS, MASKS)
    check_masks_fit(MASKS, WEIGHTS)


def test_masks_are_bool() -> None:
    with pytest.raises(WrongAnswer, match=r"masks must be bool.* that of 'conv.weight' is float32"):
        check_masks_fit(WEIGHTS, WEIGHTS)


def test_scores_that_are_nan_name_their_layers() -> None:
    scores: dict[str, Tensor] = changed(fc=torch.full((2, 16), float("nan")))
    scores["fc.weight"][0] = 1.0
    with pytest.raises(ValueError, match=r"scores contain NaN in 'fc.weight' \(16 of 32\)"):
        keep_best(scores, 0.5)


def test_gradients_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    frozen, own = model[0].weight.requires_grad_(False), torch.ones(1, 3)
    model[1].weight.grad = own
    with leaving_gradients(model):
        assert model[1].weight.grad is None, "a method sees its own gradients alone"
        frozen.requires_grad_(True)
        model(torch.ones(2, 3)).sum().backward()
        model[1].requires_grad_(False)
    assert model[0].weight.grad is None and model[0].bias.grad is None
    assert model[1].weight.grad is own
    assert not frozen.requires_grad and model[1].weight.requires_grad
    assert set(all_kept(model)) == {"0.weight", "1.weight"}
