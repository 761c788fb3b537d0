"""The re-initialised ticket: the masks of every round of a lottery ticket, on other weights."""

from __future__ import annotations

from typing import ClassVar, Literal

from pruning.method import Card
from pruning.methods.lottery_ticket import LotteryTicket, reinitialised_stream
from pruning.phases import Measure, Phase, PhaseContext, Prune, Reinitialise, Train


class ReinitialisedTicket(LotteryTicket):
    """Find a lottery ticket in rounds; in each, measure its mask on freshly drawn weights (Frankle
    & Carbin 2019, arXiv 1803.03635, section 2).

    As `reinitialised` with `of: lottery_ticket`, but with the ticket's own knobs, and for all
    levels in one trial, so that the rounds are done once. The rounds go on from the ticket, not
    from the drawn weights, which are other ones in every round.
    """

    card = Card(
        title="Re-initialised ticket",
        paper="Frankle & Carbin 2019, arXiv 1803.03635",
        summary="the masks of a lottery ticket's rounds on freshly drawn weights, trained in full",
        kind="control",
        cost="2 trainings per round",
        when="you claim that a ticket's initial weights matter, beside lottery_ticket",
        formula=(
            "w ← m ⊙ θ′    m: the mask after round k of a lottery ticket; θ′: weights drawn anew; "
            "then train"
        ),
    )
    in_all: ClassVar[bool] = False
    retrain: Literal["weight_rewind"] = "weight_rewind"
    rewind_to: Literal[0] = 0
    beside: Literal["nothing"] = "nothing"

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        phases: list[Phase] = []
        ticket: list[Phase] = []  # what trains the ticket itself, for the prune of the next round
        for phase in super().phases(sparsities, context):
            match phase:
                case Prune():
                    phases += [*ticket, phase]
                    ticket = []
                case Measure():
                    drawn = Reinitialise(reinitialised_stream(phase.level))
                    phases += [drawn, Train("train", context.train_epochs), phase]
                case _:
                    ticket.append(phase)
        return phases
