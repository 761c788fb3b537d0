"""SynFlow: pruning before training, without data, in many small steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class SynFlow(Method):
    """Keep the weights that carry the most synaptic flow (Tanaka et al. 2020, arXiv 2006.05467).

    With d = 1 - sparsity, the density after iteration k of n is d^(k/n) (exponential) or 1 - (1 -
    d) k / n (linear); the scores are computed anew before each.

    iterations: n, how often scores are computed and weights removed.
    schedule: of the density, as above.
    """

    card = Card(
        title="SynFlow",
        paper="Tanaka et al. 2020, arXiv 2006.05467",
        summary=(
            "before training and without data: remove, in 100 steps, the weights that carry the "
            "least flow"
        ),
        kind="unstructured",
        cost="100 passes of one image, 1 training",
        when=(
            "very high sparsity without a dense training; one-shot scores would empty whole layers"
        ),
        formula=(
            "R = Σ logits of the network with |w| in place of w, for an input of ones\n"
            "score(w) = |∂R/∂w · w|; remove the lowest, n = 100 times\n"
            "density after iteration k = (1 − s)^(k/n)"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    iterations: int = Field(default=100, ge=1)
    schedule: Literal["exponential", "linear"] = "exponential"

    def counts(self, sparsity: float, total: int) -> list[int]:
        """How many of `total` weights are kept after each iteration; the last is exact.

        Raises:
            ValueError: sparsity outside [0, 1].
        """
        from pruning.masks import kept_count

        last = kept_count(sparsity, total)
        done = [k / self.iterations for k in range(1, self.iterations)]
        exponential = self.schedule == "exponential"
        densities = [
            (1 - sparsity) ** part if exponential else 1 - sparsity * part for part in done
        ]
        return [*(max(last, round(density * total)) for density in densities), last]

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        """Masks after the last iteration; the model is not touched.

        Raises:
            ValueError: the flow is not finite, or more weights to keep than the masks leave.
        """
        import torch

        from pruning.gradient_scores import flow_scores, positive_copy
        from pruning.masks import keep_top, prunable

        network = positive_copy(inputs.model, inputs.masks)
        flat = {name: weight.detach().view(-1) for name, weight in prunable(network).items()}
        # Indices of what is left instead of masks: choosing among 11 million weights takes longer
        # than scoring them.
        left = {name: inputs.masks[name].reshape(-1).nonzero().flatten() for name in flat}
        counts = self.counts(
            inputs.requested_sparsity, sum(weight.numel() for weight in flat.values())
        )
        if counts[-1] > (available := sum(map(len, left.values()))):
            raise ValueError(f"cannot keep {counts[-1]} weights: only {available} are left")
        for count in counts:
            sizes = [len(index) for index in left.values()]
            if count >= sum(sizes):
                continue
            scores = flow_scores(network, inputs.image)
            best = keep_top(
                torch.cat([scores[name].reshape(-1)[index] for name, index in left.items()]), count
            )
            for (name, index), keep in zip(left.items(), best.split(sizes), strict=True):
                flat[name][index[~keep]] = 0
                left[name] = index[keep]
        kept = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in flat.items()}
        return {
            name: kept[name].index_fill_(0, index, True).view(inputs.masks[name].shape)
            for name, index in left.items()
        }
