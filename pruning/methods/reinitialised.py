"""The re-initialised control: a method's mask without the weights it was found with."""

from __future__ import annotations

from typing import ClassVar, Literal

from pruning.controls import Control
from pruning.method import Card
from pruning.phases import Reinitialise, Rewind


class Reinitialised(Control):
    """Keep a method's mask, draw all weights anew, train (Frankle & Carbin 2019, arXiv 1803.03635).

    Kept: the mask, weight by weight. Lost: the initial weights that belong to it; batch-norm and
    biases are drawn anew too. New weights have the distribution of the dense network's, as in the
    paper: the ticket's own initial weights have it, too. A ticket that does not beat it has won by
    its structure alone.
    """

    card = Card(
        title="Re-initialised",
        paper="Frankle & Carbin 2019, arXiv 1803.03635",
        summary="the mask of another method on freshly drawn weights, trained in full",
        kind="control",
        cost="the other method up to its last prune, 1 training",
        when="you claim that mask and initial weights belong together, as lottery tickets do",
        formula=(
            "w ← m ⊙ θ′    m: the mask after the last prune of `of`; θ′: weights drawn anew; then "
            "train"
        ),
    )
    controls: ClassVar[Literal["unstructured", "structured"]] = "unstructured"
    restart: ClassVar[Rewind | Reinitialise] = Reinitialise()
    of: str = "magnitude"
