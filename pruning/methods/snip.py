"""SNIP: pruning before training by the sensitivity of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class SNIP(Method):
    """Keep the weights with the largest |gradient x weight| at initialisation (Lee et al. 2019,
    arXiv 1810.02340).

    examples_per_class: training images of every class; the number of logits is the number of
        classes.
    batch_norm: statistics that batch-norm uses for the scores: those of each batch, or the running
        ones, which are mean 0 and variance 1 in a fresh network. Where there is batch-norm, the two
        share about a quarter of the kept weights (ResNet-20, 95 %). Either gives the masks of
        published code in float64.
    """

    card = Card(
        title="SNIP",
        paper="Lee et al. 2019, arXiv 1810.02340",
        summary=(
            "before training: keep the weights whose removal would change the loss most, to first "
            "order"
        ),
        kind="unstructured",
        cost="one pass of 10 images a class, 1 training",
        when="a sparse network without a dense training, at moderate sparsity",
        formula=(
            "score(w) = |∂L/∂w · w|    L: cross-entropy of the initial network; remove the lowest"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    examples_per_class: int = Field(default=10, ge=1)
    batch_norm: Literal["batch", "running"] = "batch"

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        from pruning.gradient_scores import explain_no_score, loss_sensitivity

        batches = list(inputs.images(2))
        return explain_no_score(
            loss_sensitivity(inputs.model, inputs.masks, batches, batch_norm=self.batch_norm)
        )

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.class_examples import class_examples
        from pruning.gradient_scores import describe_zeros, loss_sensitivity

        batches = class_examples(inputs, self.examples_per_class)
        scores = loss_sensitivity(inputs.model, inputs.masks, batches, batch_norm=self.batch_norm)
        inputs.notes.extend(describe_zeros(scores))
        return scores
