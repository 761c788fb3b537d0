"""SynFlow: pruning before training, without data, in many small steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class SynFlow(Method):
    """Keep the weights that carry the most synaptic flow (Tanaka et al. 2020, arXiv 2006.05467).

    The flow is that of a network of convolutions, ReLU and batch-norm. Where a network has other
    normalisation, activations that end flat (ReLU6, Hardtanh, tanh), gates or attention, these are
    taken as linear, as `pruning/linear_flow.py` says, and the row notes which; without that, ReLU6
    leaves 99 % of the scores of MobileNetV2 at 0.

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

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        """The flow must be finite, and reach the weights."""
        from pruning.gradient_scores import explain_no_score, flow_scores, positive_copy

        network = positive_copy(inputs.model, inputs.masks)
        return explain_no_score(flow_scores(network, inputs.image))

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        """Masks after the last iteration; the model is not touched.

        Raises:
            ValueError: the flow is not finite, or more weights to keep than the masks leave.
        """
        import torch

        from pruning.gradient_scores import describe_zeros, flow_scores, positive_copy
        from pruning.masks import keep_top, prunable

        network, masks = positive_copy(inputs.model, inputs.masks), inputs.masks
        weights = prunable(network, only=masks)
        flat = {name: weight.detach().view(-1) for name, weight in weights.items()}
        # Indices of what is left instead of masks: choosing among 11 million weights takes longer
        # than scoring them.
        left = {name: masks[name].reshape(-1).nonzero().flatten() for name in flat}
        # Layers that are ranked together: all, but for those with a sparsity of their own.
        together = [name for name in flat if name not in inputs.fixed]
        parts = [(together, inputs.requested_sparsity)] if together else []
        parts += [([name], inputs.fixed[name]) for name in flat if name in inputs.fixed]
        counts = [
            self.counts(sparsity, sum(flat[name].numel() for name in names))
            for names, sparsity in parts
        ]
        for (names, _), planned in zip(parts, counts, strict=True):
            if planned[-1] > (available := sum(len(left[name]) for name in names)):
                raise ValueError(f"cannot keep {planned[-1]} weights: only {available} are left")
        linear: set[str] = set()
        noted = False
        for step in zip(*counts, strict=True):
            due = [
                (names, count)
                for (names, _), count in zip(parts, step, strict=True)
                if count < sum(len(left[name]) for name in names)
            ]
            scores = flow_scores(network, inputs.image, replaced=linear) if due else {}
            if due and not noted:
                noted = True
                inputs.notes.extend(describe_zeros(scores))
            for names, count in due:
                ranked = [scores[name].reshape(-1)[left[name]] for name in names]
                best = keep_top(torch.cat(ranked), count)
                sizes = [len(index) for index in ranked]
                for name, keep in zip(names, best.split(sizes), strict=True):
                    flat[name][left[name][~keep]] = 0
                    left[name] = left[name][keep]
        if linear:
            inputs.notes.append(f"the flow takes as linear: {', '.join(sorted(linear))}")
        kept = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in flat.items()}
        return {
            name: kept[name].index_fill_(0, index, True).view(inputs.masks[name].shape)
            for name, index in left.items()
        }
