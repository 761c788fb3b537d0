"""What post-training methods share: prune a trained network layer by layer from a few images,
without labels.

Layers are pruned in the order in which they run, and each gets its inputs from the already pruned
layers before it. The phases are prune, measure (raw), recalibrate batch-norm, measure
(recalibrated) and, with the knob `finetune`, finetune and measure. Importing this module does not
import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pruning.method import Method, PruneInput
from pruning.nm_pattern import NM, parse_pattern
from pruning.phases import Measure, Phase, PhaseContext, Prune, Recalibrate, Train

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution
    from pruning.weight_uses import WeightUse


@dataclass(frozen=True, kw_only=True)
class Target:
    """How one weight matrix shall be pruned: to a sparsity, or to n of every m columns; the field
    that does not apply is None."""

    sparsity: float | None = None
    nm: NM | None = None


class PostTraining(Method):
    """A method that prunes one layer after the other; a subclass says what it observes of a layer's
    inputs and how it prunes a matrix.

    pattern: "unstructured", every layer at the same sparsity, or "n:m", n kept of every m input
        channels. Layers whose input channels m does not divide stay dense and are named in the
        notes.
    finetune: also retrain and measure a third time.
    images: training images for calibration.
    recalibrate_batches: training batches from which the batch-norm statistics are estimated anew.
    """

    starts_from: ClassVar[Literal["init", "dense"]] = "dense"
    network_knobs: ClassVar[tuple[str, ...]] = ("pattern",)
    pattern: str = "unstructured"
    finetune: bool = False
    images: int = Field(default=1024, ge=1)
    recalibrate_batches: int = Field(default=100, ge=1)

    @field_validator("pattern")
    @classmethod
    def _known(cls, pattern: str) -> str:
        if pattern != "unstructured":
            parse_pattern(pattern)
        return pattern

    @property
    def nm(self) -> NM | None:
        """The n:m pattern, or None if unstructured."""
        return None if self.pattern == "unstructured" else parse_pattern(self.pattern)

    def find_unfit(self, uses: Mapping[str, WeightUse]) -> dict[str, str]:
        """Weights that are not used exactly once as those of a convolution or of x @ W.T: their
        inputs are not defined."""
        return {
            name: f"{self.card.title} prunes convolutions and linear layers that run once"
            for name, use in uses.items()
            if not use.as_layer or use.runs != 1
        }

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        """An n:m pattern that fits no layer; layers that do not run once are no obstacle, but left
        out by `find_unfit`."""
        from pruning.nm_pattern import fits_pattern

        if self.nm is None:
            return None
        weights, m = inputs.weights, self.nm[1]
        if any(fits_pattern(weight, m) for weight in weights.values()):
            return None
        channels = {name: weight.shape[1] for name, weight in weights.items()}
        widest = max(channels, key=lambda name: channels[name])
        return (
            f"pattern {self.pattern} fits no layer: {m} divides the input channels of none, "
            f"the most are {channels[widest]} of '{widest}'"
        )

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        return super().trials(sparsities) if self.nm is None else [(1 - self.nm[0] / self.nm[1],)]

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        (sparsity,) = sparsities
        phases: list[Phase] = [
            Prune(sparsity),
            Measure(sparsity, stage="raw"),
            Recalibrate(self.recalibrate_batches),
            Measure(sparsity, stage="recalibrated"),
        ]
        if self.finetune:
            phases += [
                Train("retrain", context.retrain_epochs),
                Measure(sparsity, stage="finetuned"),
            ]
        return phases

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        """What `solve` needs to know of a layer's inputs, one entry per group of the layer:
        [groups, ...]."""
        raise TypeError(f"{type(self).__name__} does not say what it observes")

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        """Prune one matrix [rows, cols]; the text names what was unusual, and is empty if nothing
        was."""
        raise TypeError(f"{type(self).__name__} does not say how it solves a layer")

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        """Masks, with surviving weights rewritten in the model.

        Unstructured: exactly `round((1 - sparsity) * N)` weights are kept over all layers, the same
        fraction of each.

        Raises:
            ValueError: something is pruned already; a sparsity that the pattern does not have; a
                layer that does not run exactly once in a forward pass.
        """
        from pruning.layerwise.layer_inputs import layer_order
        from pruning.masks import layer_counts
        from pruning.nm_pattern import fits_pattern

        self._check(inputs)
        sparsity, fixed = inputs.requested_sparsity, inputs.fixed
        weights, masks = inputs.weights, dict(inputs.masks)
        sizes = {name: weight.numel() for name, weight in weights.items()}
        counts = layer_counts(dict.fromkeys(sizes, 1 - sparsity), sizes, sparsity, fixed)
        batches = [images for images, _ in inputs.images(self.images)]
        dense: list[str] = []
        for name in layer_order(inputs.model, batches[0][:1], only=masks):
            weight, nm = weights[name], None if name in fixed else self.nm
            if nm and not fits_pattern(weight, nm[1]):
                dense.append(name)
                continue
            observed = self.observe(inputs.model, name, batches)
            masks[name], remarks = self._solve_layer(weight, observed, counts[name], nm)
            inputs.notes.extend(f"{name}: {remark}" for remark in remarks)
        if dense:
            inputs.notes.append(f"kept dense, as {self.pattern} does not fit: {', '.join(dense)}")
        return masks

    def _check(self, inputs: PruneInput) -> None:
        """Refuse a network that is pruned already, or a sparsity that the pattern does not have."""
        if not all(bool(mask.all()) for mask in inputs.masks.values()):
            raise ValueError(
                "a post-training method prunes a dense network, but this one is pruned already"
            )
        sparsity = inputs.requested_sparsity
        if self.nm and abs(sparsity - (1 - self.nm[0] / self.nm[1])) > 1e-9:
            raise ValueError(
                f"{self.pattern} has sparsity {1 - self.nm[0] / self.nm[1]}, but got {sparsity}"
            )

    def _solve_layer(
        self, weight: Tensor, observed: Tensor, count: int, nm: NM | None
    ) -> tuple[Tensor, list[str]]:
        """Prune a layer to `count` kept weights (or to the pattern), group by group, and rewrite
        its weight.

        Returns:
            The mask, and remarks of the solver.
        """
        import torch

        from pruning.layerwise.layer_inputs import from_matrix, to_matrix
        from pruning.masks import spread

        matrices = to_matrix(weight, len(observed))
        sizes = {str(group): matrix.numel() for group, matrix in enumerate(matrices)}
        shares = spread(dict.fromkeys(sizes, count / weight.numel()), sizes, count)
        solutions, remarks = [], []
        for matrix, kept, group in zip(matrices, shares.values(), observed, strict=True):
            unstructured = Target(sparsity=1 - kept / matrix.numel())
            target = Target(nm=nm) if nm else unstructured
            solution, remark = self.solve(matrix, group, target)
            solutions.append(solution)
            if remark:
                remarks.append(remark)
        solved = torch.stack([solution.weight for solution in solutions])
        weight.copy_(from_matrix(solved, weight.shape))
        mask = from_matrix(torch.stack([solution.mask for solution in solutions]), weight.shape)
        return mask.contiguous(), remarks
