"""The checks for authors of methods: methods that keep the rules pass, and each rule catches a
method that breaks it. All methods of the project pass them in tests/contract/test_every_method.py.

Covers: pruning/testing_network.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from pruning import testing
from pruning.method import Card, Method, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Prune, Train

CARD = Card(title="T", paper="-", summary="s", kind="unstructured", cost="c", when="w")


class Sound(Method):
    """Keeps the largest weights, as a method of an author's does."""

    card = CARD

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}


class Silent(Sound):
    card = Card(title="", paper="-", summary="s", kind="unstructured", cost="c", when="w")


class TooMany(Sound):
    """Keeps one weight more than the sparsity leaves."""

    def prune(self, inputs: PruneInput) -> Mapping[str, Tensor]:
        masks = dict(super().prune(inputs))  # type: ignore[arg-type]
        name = next(iter(masks))
        masks[name].view(-1)[(~masks[name]).flatten().nonzero()[0]] = True
        return masks


class Draws(Sound):
    """Draws from a generator that is nobody's."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        self_made = torch.Generator()
        self_made.seed()
        return {n: torch.rand(w.shape, generator=self_made) for n, w in inputs.weights.items()}


class ComesBack(Sound):
    """Forgets at its second prune what the first one masked."""

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        (sparsity,) = sparsities
        return [Prune(sparsity, 1), Train("retrain", 1), Prune(sparsity, 2), Measure(sparsity, 2)]

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.masks import keep_best

        scores = self.scores(inputs)
        if inputs.level == 2:
            scores = {name: -score for name, score in scores.items()}
        return keep_best(scores, inputs.requested_sparsity)


class Hoards(Sound):
    """Remembers what is no tensor."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        inputs.memory["sparsity"] = inputs.sparsity  # type: ignore[assignment]
        return super().scores(inputs)


class WrongShape(Sound):
    """One score for each filter in place of one for each weight."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.flatten(1).norm(dim=1) for name, weight in inputs.weights.items()}


class NotANumber(Sound):
    """Divides zero by zero in one layer."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {n: w * 0 / (0 if n == "fc.weight" else 1) for n, w in inputs.weights.items()}


class EditsWeights(Sound):
    """Takes the absolute value of the weights themselves."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs_() for name, weight in inputs.weights.items()}


class EditsStatistics(Sound):
    """Looks at images in training mode."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        inputs.model.train()
        for x, _ in inputs.images(64):
            inputs.model(x)
        return super().scores(inputs)


class Freezes(Sound):
    """Leaves parameters that no training changes any more."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        inputs.model.requires_grad_(False)
        return super().scores(inputs)


class LeavesHooks(Sound):
    """Forgets to remove a hook."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        inputs.model.get_submodule("fc").register_forward_hook(lambda *_: None)
        return super().scores(inputs)


class EditsMasks(Sound):
    """Writes into the masks that it is given."""

    def prune(self, inputs: PruneInput) -> Mapping[str, Tensor]:
        for name, mask in super().prune(inputs).items():  # type: ignore[union-attr]
            inputs.masks[name].logical_and_(mask)
        return inputs.masks


class TakesAll(Sound):
    """Ranks all weights of the network, also those that are excluded."""

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        named = inputs.model.named_parameters()
        return {name: weight.detach().abs() for name, weight in named if weight.ndim > 1}


class ForgetsLayers(Sound):
    """Has one sparsity for all layers, whatever the study gives one of them."""

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.masks import keep_best

        return keep_best(self.scores(inputs), inputs.requested_sparsity, masks=inputs.masks)


class Numbers(Sound):
    """Masks that are no bool."""

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        masks: Mapping[str, Tensor] = super().prune(inputs)  # type: ignore[assignment]
        return {name: mask.float() for name, mask in masks.items()}


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Callable[[testing.MethodOf], None]) -> None:
    check(Sound)


@pytest.mark.parametrize(
    ("check", "method", "message"),
    [
        (testing.check_that_it_says_what_it_is, Silent, "the card does not say its title"),
        (testing.check_that_it_reaches_the_sparsity, TooMany, "does not keep what it promises"),
        (
            testing.check_that_equal_seeds_give_equal_networks,
            Draws,
            "two runs with one seed differ",
        ),
        (testing.check_that_no_weight_comes_back, ComesBack, "weights came back in"),
        (testing.check_that_it_can_be_saved, Hoards, "memory holds tensors only"),
        (
            testing.check_that_it_reaches_the_sparsity,
            WrongShape,
            "scores of 'stem.weight' must have the shape of the weight, (16, 1, 3, 3), but got",
        ),
        (
            testing.check_that_it_reaches_the_sparsity,
            NotANumber,
            "scores contain NaN in 'fc.weight' (320 of 320)",
        ),
        (
            testing.check_that_it_reaches_the_sparsity,
            Numbers,
            "masks must be bool, True where a weight is kept, but that of 'stem.weight' is float32",
        ),
        (
            testing.check_that_a_prune_changes_nothing_else,
            EditsWeights,
            "a prune changes the values of stem.weight, inner.weight, outer.weight, fc.weight",
        ),
        (
            testing.check_that_a_prune_changes_nothing_else,
            EditsStatistics,
            "a prune changes the values of stem_norm.running_mean",
        ),
        (
            testing.check_that_a_prune_changes_nothing_else,
            Freezes,
            "a prune changes the requires_grad of stem.weight",
        ),
        (
            testing.check_that_a_prune_changes_nothing_else,
            LeavesHooks,
            "a prune changes the hooks of fc",
        ),
        (
            testing.check_that_a_prune_changes_nothing_else,
            EditsMasks,
            "inputs.masks is changed in place in stem.weight",
        ),
        (
            testing.check_that_it_leaves_other_layers,
            TakesAll,
            "scores are given for 'stem.weight', which are not to be pruned (excluded",
        ),
        (
            testing.check_that_it_leaves_other_layers,
            ForgetsLayers,
            "layer 'inner.weight': at sparsity 0.75",
        ),
    ],
)
def test_a_method_that_breaks_a_rule_fails(
    check: Callable[[testing.MethodOf], None], method: type[Method], message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(method)
