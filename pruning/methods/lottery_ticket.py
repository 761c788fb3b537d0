"""The lottery ticket procedure: rounds of pruning by trained magnitude and rewinding."""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from pruning.method import Card, Method, PruneInput
from pruning.phases import (
    Measure,
    Phase,
    PhaseContext,
    Prune,
    Reinitialise,
    Train,
    retraining,
)

if TYPE_CHECKING:
    from torch import Tensor

REINITIALISED = "reinitialised"  # the stage of a round's mask on freshly drawn weights


def reinitialised_stream(level: int) -> str:
    """Names the weights that are drawn for the mask of a round."""
    return f"reinit {level}"


class LotteryTicket(Method):
    """Train, prune the smallest weights, rewind, repeat (Frankle & Carbin 2019, arXiv 1803.03635).

    Level 0 is the dense training. `levels` rounds each remove `rate` of what remains, so that level
    k has density (1 - rate)^k; with `levels: sparsities` the rounds visit the study's sparsities
    instead, and between two of them remove equal fractions of at most `rate`. `rewind_to: k` is
    late rewinding (Frankle et al. 2020, arXiv 1912.05671); `retrain: lr_rewind` keeps the weights
    and rewinds only the schedule (Renda et al. 2020, arXiv 2003.02389).

    levels: rounds; "sparsities": as many as it takes to visit those of the study.
    rate: fraction of the remaining weights that a round removes; with `levels: sparsities` at most.
    beside: "reinitialised" also trains the mask of every measured round on freshly drawn weights,
        other ones in every round, and measures that as a stage of its own, before the ticket
        itself: what `reinitialised_ticket` measures, bit for bit, without doing the rounds a second
        time. The row of a ticket then counts the epochs of both. Only with weight_rewind.
    output_rate: "half" prunes the last layer at half the rate, as the paper does for its small
        networks: round k leaves (1 - rate)^k of all other layers, which is the sparsity that the
        row names, and (1 - rate / 2)^k of the last one.
    """

    card = Card(
        title="Lottery ticket",
        paper="Frankle & Carbin 2019, arXiv 1803.03635",
        summary=(
            "rounds of: prune 20 % of what remains by trained magnitude, rewind to the initial "
            "weights, train"
        ),
        kind="unstructured",
        cost="1 training per round",
        when="you study trainability, or want the best sparse network and can pay for it",
        formula=(
            "score(w) = |w|    at the end of round k − 1; remove the lowest\n"
            "density after round k = (1 − rate)ᵏ\n"
            "then w ← its value at epoch rewind_to (0: the initial one), and train"
        ),
    )
    levels: Annotated[int, Field(ge=1, le=1000)] | Literal["sparsities"] = 10
    rate: float = Field(default=0.2, ge=0.001, lt=1)
    scope: Literal["global", "layer"] = "global"
    retrain: Literal["weight_rewind", "lr_rewind"] = "weight_rewind"
    rewind_to: int = Field(default=0, ge=0)
    output_rate: Literal["full", "half"] = "full"
    beside: Literal["nothing", "reinitialised"] = "nothing"

    @model_validator(mode="after")
    def _leaves(self) -> Self:
        if self.levels != "sparsities" and (1 - self.rate) ** self.levels < 1e-9:
            raise ValueError(
                f"{self.levels} levels of rate {self.rate:g} leave no weight; lower one of them"
            )
        if self.beside != "nothing" and self.retrain != "weight_rewind":
            raise ValueError(
                f"beside: {self.beside} draws new weights, from which {self.retrain} cannot go on; "
                "choose retrain: weight_rewind"
            )
        return self

    def output_sparsity(self, sparsity: float) -> float | None:
        if self.output_rate == "full":
            return None
        rounds = log(1 - sparsity) / log(1 - self.rate)  # need not be whole
        return 1 - float((1 - self.rate / 2) ** rounds)

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        if self.levels == "sparsities":
            wanted = tuple(sorted(sparsity for sparsity in sparsities if sparsity > 0))
            return [wanted] if wanted else []
        return [
            tuple(round(1 - (1 - self.rate) ** level, 12) for level in range(1, self.levels + 1))
        ]

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        phases: list[Phase] = []
        density, level = 1.0, 0
        for sparsity in sparsities:
            ratio = (1 - sparsity) / density
            rounds = max(1, ceil(log(ratio) / log(1 - self.rate) - 1e-9))
            for step in range(1, rounds + 1):
                level += 1
                target = sparsity if step == rounds else 1 - density * ratio ** (step / rounds)
                phases.append(Prune(target, level))
                if self.beside == "reinitialised" and step == rounds:
                    phases += [
                        Reinitialise(reinitialised_stream(level)),
                        Train("train", context.train_epochs),
                        Measure(sparsity, level, stage=REINITIALISED),
                    ]
                phases += retraining(self.retrain, context, rewind_to=self.rewind_to)
            phases.append(Measure(sparsity, level))
            density = 1 - sparsity
        return phases

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}
