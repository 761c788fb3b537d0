"""Dense training: the baseline, and the network that other methods start from."""

from typing import ClassVar, Literal

from pruning.method import Card, Method
from pruning.phases import Measure, Phase, PhaseContext, Train


class Dense(Method):
    """Train the whole network; nothing is pruned."""

    card = Card(
        title="Dense",
        paper="-",
        summary="the unpruned network, trained for the full budget",
        kind="baseline",
        cost="1 training",
        when="always: every comparison is against it, and most methods start from it",
        formula="s = 0",
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    prunes: ClassVar[bool] = False

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        return [(0.0,)]

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        wanted = tuple(sorted({0, *context.rewind_epochs, context.train_epochs}))
        return [Train("train", context.train_epochs, publish=wanted), Measure(0.0, level=0)]
