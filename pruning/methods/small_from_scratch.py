"""The small dense network from scratch: the widths that filter pruning finds, without what it
inherits."""

from __future__ import annotations

from typing import ClassVar, Literal

from pruning.controls import Control
from pruning.method import Card
from pruning.phases import Reinitialise, Rewind


class SmallFromScratch(Control):
    """Train the small network that filter pruning leaves, from new weights (Liu et al. 2019, arXiv
    1810.05270).

    Kept: the widths of the layers. Lost: the weights inherited from the trained network. The epochs
    are those of the dense training (Liu's Scratch-E). New weights are drawn as the network's own
    initialiser draws them for layers of these widths.
    """

    card = Card(
        title="Small from scratch",
        paper="Liu et al. 2019, arXiv 1810.05270",
        summary=(
            "the small network that filter pruning leaves, with freshly drawn weights, trained in "
            "full"
        ),
        kind="control",
        cost="1 training, of the smaller network",
        when="you claim that pruning filters beats training a small network at once",
        formula="widths ← those that `of` leaves; w ← θ′, drawn anew; then train",
    )
    reaches: ClassVar[Literal["exact", "nearest", "own"]] = "nearest"
    controls: ClassVar[Literal["unstructured", "structured"]] = "structured"
    restart: ClassVar[Rewind | Reinitialise] = Reinitialise()
    of: str = "l1_filter"
