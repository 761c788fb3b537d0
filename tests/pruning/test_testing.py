"""The checks for authors of methods: methods that keep the rules pass, and each rule catches a
method that breaks it. All methods of the project pass them in tests/contract/test_every_method.py.
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
    ],
)
def test_a_method_that_breaks_a_rule_fails(
    check: Callable[[testing.MethodOf], None], method: type[Method], message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(method)
