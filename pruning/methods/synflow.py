"""SynFlow: pruning before training, without data, in many small steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    counts: how many weights an iteration keeps. "rounded": the density times all weights, rounded,
        and the last one exactly what the sparsity asks for. "official": as the authors' code does,
        all with a score above the k-th smallest, where k is the fraction to be removed times all
        weights, cut to a whole number; what ties with it goes, too, so that fewer may be left than
        the sparsity asks for. One weight more in an iteration changes many in those after it.
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
    counts: Literal["rounded", "official"] = "rounded"

    @property
    def keeps_exact_count(self) -> bool:
        return self.counts == "rounded"

    def densities(self, sparsity: float) -> list[float]:
        """The fraction of weights that is kept after each iteration, unrounded."""
        parts = [k / self.iterations for k in range(1, self.iterations + 1)]
        if self.schedule == "exponential":
            return [(1 - sparsity) ** part for part in parts]
        return [1 - sparsity * part for part in parts]

    def kept_counts(self, sparsity: float, total: int) -> list[int]:
        """How many of `total` weights are kept after each iteration; the last is exact.

        Raises:
            ValueError: sparsity outside [0, 1].
        """
        from pruning.masks import kept_count

        last = kept_count(sparsity, total)
        rounded = [round(density * total) for density in self.densities(sparsity)[:-1]]
        return [*(max(last, count) for count in rounded), last]

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
        from pruning.masks import prunable

        network, masks = positive_copy(inputs.model, inputs.masks), inputs.masks
        weights = prunable(network, only=masks)
        flat = {name: weight.detach().view(-1) for name, weight in weights.items()}
        # Indices of what is left instead of masks: choosing among 11 million weights takes longer
        # than scoring them.
        left = {name: masks[name].reshape(-1).nonzero().flatten() for name in flat}
        parts = self._list_parts(inputs, {name: w.numel() for name, w in flat.items()})
        for part in parts:
            if part.counts[-1] > (available := part.count_left(left)):
                raise ValueError(
                    f"cannot keep {part.counts[-1]} weights: only {available} are left"
                )
        linear: set[str] = set()
        noted = False
        for step in range(self.iterations):
            due = [part for part in parts if part.is_due(step, left)]
            scores = flow_scores(network, inputs.image, replaced=linear) if due else {}
            if due and not noted:
                noted = True
                inputs.notes.extend(describe_zeros(scores))
            for part in due:
                ranked = [scores[name].reshape(-1)[left[name]] for name in part.names]
                best = part.choose(torch.cat(ranked), part.counts[step])
                sizes = [len(of_layer) for of_layer in ranked]
                for name, keep in zip(part.names, best.split(sizes), strict=True):
                    flat[name][left[name][~keep]] = 0
                    left[name] = left[name][keep]
        if linear:
            inputs.notes.append(f"the flow takes as linear: {', '.join(sorted(linear))}")
        kept = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in flat.items()}
        return {
            name: kept[name].index_fill_(0, index, True).view(inputs.masks[name].shape)
            for name, index in left.items()
        }

    def _list_parts(self, inputs: PruneInput, sizes: Mapping[str, int]) -> list[_Part]:
        """Layers that are ranked together: all, but for those with a sparsity of their own, which
        is always exact."""
        together = [name for name in sizes if name not in inputs.fixed]
        total = sum(sizes[name] for name in together)
        parts = []
        if together and self.counts == "official":
            densities = self.densities(inputs.requested_sparsity)
            kept = [total - int((1 - density) * total) for density in densities]
            parts.append(_Part(together, total, kept, exact=False))
        elif together:
            kept = self.kept_counts(inputs.requested_sparsity, total)
            parts.append(_Part(together, total, kept))
        for name, size in sizes.items():
            if name in inputs.fixed:
                parts.append(_Part([name], size, self.kept_counts(inputs.fixed[name], size)))
        return parts


@dataclass(frozen=True)
class _Part:
    """Layers that are ranked together. size: all their weights. counts: how many are kept after
    each iteration; exactly, or at most, since ties go together."""

    names: list[str]
    size: int
    counts: list[int]
    exact: bool = True

    def count_left(self, left: Mapping[str, Tensor]) -> int:
        """How many weights are left, by their indices."""
        return sum(len(left[name]) for name in self.names)

    def is_due(self, step: int, left: Mapping[str, Tensor]) -> bool:
        """Whether an iteration removes weights."""
        return self.counts[step] < (self.count_left(left) if self.exact else self.size)

    def choose(self, scores: Tensor, count: int) -> Tensor:
        """Which of the weights that are left stay: exactly `count` of them or, officially, those
        above the highest score that goes, where weights that are gone score 0."""
        import torch

        from pruning.masks import keep_top

        if self.exact:
            return keep_top(scores, count)
        removed = len(scores) - count
        return scores > (torch.kthvalue(scores, removed).values if removed > 0 else 0)
