"""GraSP: pruning before training by what a weight gives to the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.class_examples import Batch


class GraSP(Method):
    """Remove the weights whose absence keeps the gradient largest (Wang et al. 2020, arXiv
    2002.07376).

    examples_per_class: training images of every class; the number of logits is the number of
        classes.
    temperature: the logits are divided by it. At 200, the authors' value, the softmax is close to
        uniform, so that the scores do not depend on what the untrained network happens to be
        confident of.
    batch_norm: statistics that batch-norm uses for the scores: those of each batch, or the running
        ones, which are mean 0 and variance 1 in a fresh network. Where there is batch-norm, the two
        share less than a quarter of the kept weights (ResNet-20, 95 %). Either gives the masks of
        published code in float64.
    """

    card = Card(
        title="GraSP",
        paper="Wang et al. 2020, arXiv 2002.07376",
        summary=(
            "before training: remove the weights of largest -w x Hg, those that hold the gradient "
            "back"
        ),
        kind="unstructured",
        cost="two passes of 10 images a class and a Hessian product, 1 training",
        when="beside SNIP, at high sparsity where the flow of gradients is at stake",
        formula=(
            "score(w) = w · (Hg)    g = ∂L/∂w, H = ∂²L/∂w², L: cross-entropy of logits / "
            "temperature\n"
            "remove the lowest: without such a weight the norm of g falls least, or rises"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    examples_per_class: int = Field(default=10, ge=1)
    temperature: float = Field(default=200.0, gt=0)
    batch_norm: Literal["batch", "running"] = "batch"

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        batches = list(inputs.images(2))
        try:
            self._score(inputs, batches)
        except RuntimeError as error:
            line = str(error).partition("\n")[0]
            return f"it takes second derivatives, which the network does not have: {line}"
        return None

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.class_examples import class_examples
        from pruning.gradient_scores import describe_zeros

        batches = class_examples(inputs, self.examples_per_class)
        scores = self._score(inputs, batches)
        inputs.notes.extend(describe_zeros(scores))
        return scores

    def _score(self, inputs: PruneInput, batches: list[Batch]) -> dict[str, Tensor]:
        from pruning.gradient_scores import gradient_sensitivity

        return gradient_sensitivity(
            inputs.model,
            inputs.masks,
            batches,
            temperature=self.temperature,
            batch_norm=self.batch_norm,
        )
