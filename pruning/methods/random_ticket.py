"""The random ticket: as many weights in every layer and round as a lottery ticket, at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.method import Card, PruneInput
from pruning.methods.lottery_ticket import LotteryTicket

if TYPE_CHECKING:
    from torch import Tensor


class RandomTicket(LotteryTicket):
    """Remove weights at random in the rounds of a lottery ticket, and train the initial weights
    that are left in each of them (Frankle & Carbin 2019, arXiv 1803.03635, figure 1).

    With `scope: layer` every layer keeps as many weights as the ticket's, only others. A round
    removes some of what the one before it left, so that one trial has all levels; each level for
    itself is a mask drawn at random.
    """

    card = Card(
        title="Random ticket",
        paper="Frankle & Carbin 2019, arXiv 1803.03635",
        summary="the rounds of a lottery ticket with weights removed at random; initial weights",
        kind="control",
        cost="1 training per round",
        when="you claim that lottery tickets are found, beside lottery_ticket",
        formula="score(w) ~ U(0, 1); remove the lowest; w ← its initial value, and train",
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    in_all: ClassVar[bool] = False
    retrain: Literal["weight_rewind"] = "weight_rewind"
    rewind_to: Literal[0] = 0
    beside: Literal["nothing"] = "nothing"

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        import torch

        return {
            name: torch.rand(mask.shape, generator=inputs.generator, dtype=torch.float64).to(
                mask.device
            )
            for name, mask in inputs.masks.items()
        }
