"""Gradual magnitude pruning: the network becomes sparse while it trains."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pruning.method import Card, Method, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Train

if TYPE_CHECKING:
    from torch import Tensor


class GMP(Method):
    """Prune by magnitude in small steps within one training (Zhu & Gupta 2017, arXiv 1710.01878).

    The sparsity at step t is s_f - s_f (1 - (t - t0) / (n dt))^3: it rises fast while many weights
    can be spared, slowly at the end. It runs within the one training, not after it: the schedule is
    meant to prune while the learning rate is high enough to recover, and a dense training before it
    would double the cost. What is pruned stays pruned: a layer never gets a weight back, and where
    more is pruned already than is due, nothing happens.

    start, end: fractions of the training between which the sparsity rises; after `end` the network
        only recovers.
    every: optimiser steps dt between two prunes, fewer in short trainings (see `Method.interval`).
    """

    card = Card(
        title="Gradual magnitude",
        paper="Zhu & Gupta 2017, arXiv 1710.01878",
        summary="remove the smallest weights bit by bit while training, along a cubic schedule",
        kind="unstructured",
        cost="1 training",
        when=(
            "no trained network is at hand: the strongest simple method at the cost of one training"
        ),
        formula=(
            "s(t) = s − s · (1 − (t − t₀) / (nΔt))³    at t = t₀, t₀ + Δt, ..., t₀ + nΔt\n"
            "score(w) = |w|, at each of these steps; remove the lowest"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    scope: Literal["global", "layer"] = "global"
    start: float = Field(default=0.0, ge=0, lt=1)
    end: float = Field(default=0.75, gt=0, lt=1)
    every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"end must lie after start = {self.start:g}, but got {self.end:g}")
        return self

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        (sparsity,) = sparsities
        if not context.train_epochs:
            raise ValueError(
                "gmp prunes while it trains, so recipe.epochs must be at least 1, but got 0"
            )
        return [Train("train", context.train_epochs, updates=True), Measure(sparsity)]

    def due(self, sparsity: float, progress: float, interval: float) -> float | None:
        """The sparsity of the prune at `progress`, all 0..1; None before `start` and after the
        final sparsity.

        t0 and t0 + n dt are the first and the last multiple of `interval` within start and end, so
        that the final sparsity is reached exactly, and before the training ends.
        """
        last = floor(self.end / interval + 1e-9)
        first = min(ceil(self.start / interval - 1e-9), last)
        now = round(progress / interval)
        if not first <= now <= last:
            return None
        if now == last:
            return sparsity
        return sparsity - sparsity * (1 - (now - first) / (last - first)) ** 3

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}

    def update(self, inputs: PruneInput) -> dict[str, Tensor] | None:
        from pruning.masks import keep_best, kept_count

        goal = inputs.requested_sparsity
        sparsity = self.due(goal, inputs.progress, inputs.interval)
        if sparsity is None:
            return None
        free = [mask for name, mask in inputs.masks.items() if name not in inputs.fixed]
        # Summed on the device: the host waits for it once, not once for each layer.
        total, left = sum(mask.numel() for mask in free), int(sum(mask.sum() for mask in free))
        if left < kept_count(sparsity, total):
            return None
        done = sparsity / goal if goal else 1.0  # layers with a sparsity of their own rise alike
        return keep_best(
            self.scores(inputs),
            sparsity,
            masks=inputs.masks,
            scope=self.scope,
            fixed={name: own * done for name, own in inputs.fixed.items()},
        )
