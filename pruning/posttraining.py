"""What post-training methods share: prune a trained network layer by layer from a few images,
without labels.

Layers are taken in execution order, and each sees its inputs as the already pruned layers before it
produce them. The course is prune, measure (raw), recalibrate batch-norm, measure (recalibrated)
and, if asked for, finetune and measure. Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pruning.method import Method, PruneInput
from pruning.nm_pattern import NM, parse
from pruning.phases import Measure, Phase, Prune, Recalibrate, Setting, Train

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution


@dataclass(frozen=True, kw_only=True)
class Target:
    """How one weight matrix shall be pruned: to a sparsity, or to n of every m columns; the other
    is None."""

    sparsity: float | None = None
    nm: NM | None = None


class PostTraining(Method):
    """A method that solves one layer after the other; a subclass says what it observes and how it
    solves.

    pattern: "unstructured", every layer at the same sparsity, or "n:m", n kept of every m input
        channels. Layers whose input channels m does not divide stay dense and are named in the
        notes.
    finetune: also retrain and measure a third time.
    images: training images for calibration.
    recalibrate_batches: training batches from which the batch-norm statistics are estimated anew.
    """

    starts_from: ClassVar[Literal["init", "dense"]] = "dense"
    pattern: str = "unstructured"
    finetune: bool = False
    images: int = Field(default=1024, ge=1)
    recalibrate_batches: int = Field(default=100, ge=1)

    @field_validator("pattern")
    @classmethod
    def _known(cls, pattern: str) -> str:
        if pattern != "unstructured":
            parse(pattern)
        return pattern

    @property
    def nm(self) -> NM | None:
        """The n:m pattern, or None if unstructured."""
        return None if self.pattern == "unstructured" else parse(self.pattern)

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        return super().trials(sparsities) if self.nm is None else [(1 - self.nm[0] / self.nm[1],)]

    def phases(self, sparsities: tuple[float, ...], setting: Setting) -> list[Phase]:
        (sparsity,) = sparsities
        phases: list[Phase] = [
            Prune(sparsity),
            Measure(sparsity, stage="raw"),
            Recalibrate(self.recalibrate_batches),
            Measure(sparsity, stage="recalibrated"),
        ]
        if self.finetune:
            phases += [
                Train("retrain", setting.retrain_epochs),
                Measure(sparsity, stage="finetuned"),
            ]
        return phases

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        """What `solve` needs to know of a layer's inputs, one entry per group of the layer:
        [groups, ...]."""
        raise TypeError(f"{type(self).__name__} does not say what it observes")

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        """Prune one matrix [rows, cols]; the text says what was out of the ordinary, and is empty
        if nothing was."""
        raise TypeError(f"{type(self).__name__} does not say how it solves a layer")

    def prune(self, at: PruneInput) -> dict[str, Tensor]:
        """Masks, with surviving weights rewritten in the model.

        Unstructured: exactly `round((1 - sparsity) * N)` weights are kept over all layers, the same
        fraction of each.

        Raises:
            ValueError: something is pruned already; a sparsity that the pattern does not have; a
                layer that does not run exactly once in a forward pass.
        """
        import torch

        from pruning.layerwise import layer_inputs
        from pruning.masks import all_kept, kept_count, spread
        from pruning.nm_pattern import fits

        if not all(bool(mask.all()) for mask in at.masks.values()):
            raise ValueError(
                "a post-training method prunes a dense network, but this one is pruned already"
            )
        if self.nm and abs(at.sparsity - (1 - self.nm[0] / self.nm[1])) > 1e-9:
            raise ValueError(
                f"{self.pattern} has sparsity {1 - self.nm[0] / self.nm[1]}, but got {at.sparsity}"
            )
        weights, masks = at.weights, all_kept(at.model)
        sizes = {name: weight.numel() for name, weight in weights.items()}
        counts = spread(
            dict.fromkeys(sizes, 1 - at.sparsity),
            sizes,
            kept_count(at.sparsity, sum(sizes.values())),
        )
        batches = [images for images, _ in at.images(self.images)]
        dense: list[str] = []
        for name in layer_inputs.layer_order(at.model, batches[0][:1]):
            weight = weights[name]
            if self.nm and not fits(weight, self.nm[1]):
                dense.append(name)
                continue
            observed = self.observe(at.model, name, batches)
            matrices = layer_inputs.to_matrix(weight, len(observed))
            shares = spread(
                dict.fromkeys(map(str, range(len(matrices))), counts[name] / sizes[name]),
                {
                    str(group): len(matrix) * matrix.shape[1]
                    for group, matrix in enumerate(matrices)
                },
                counts[name],
            )
            solutions = []
            for matrix, kept, group in zip(matrices, shares.values(), observed, strict=True):
                target = (
                    Target(nm=self.nm) if self.nm else Target(sparsity=1 - kept / matrix.numel())
                )
                solution, remark = self.solve(matrix, group, target)
                solutions.append(solution)
                if remark:
                    at.notes.append(f"{name}: {remark}")
            solved = torch.stack([solution.weight for solution in solutions])
            weight.copy_(layer_inputs.from_matrix(solved, weight.shape))
            masks[name] = layer_inputs.from_matrix(
                torch.stack([s.mask for s in solutions]), weight.shape
            ).contiguous()
        if dense:
            at.notes.append(f"kept dense, as {self.pattern} does not fit: {', '.join(dense)}")
        return masks
