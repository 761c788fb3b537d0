"""Han's iterative pruning: a threshold per layer, in units of the spread of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pruning.method import Card, Method, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Prune, retraining

if TYPE_CHECKING:
    from torch import Tensor


class HanIterative(Method):
    """Prune |w| below q times the layer's standard deviation, finetune, repeat (Han et al. 2015,
    arXiv 1506.02626).

    iterations: prunes; a finetuning follows each of them.
    q: the threshold, in standard deviations of the layer.
    std_over: the entries of a layer whose standard deviation counts. "all": pruned zeros, too,
        which fits published runs (finetuning pulls further weights under the threshold; without it
        no more are removed after the first prune). "survivors": kept weights. "fixed": all weights
        of the dense network, at every iteration.
    reach: "own", the paper's: q is given, the sparsity is the outcome, and every iteration is
        measured. There is one trial, whatever sparsities a study lists. "requested": each
        iteration k of n finds the q that leaves density d^(k/n), exactly; one trial for each
        sparsity, measured after its last iteration.
    """

    card = Card(
        title="Han iterative",
        paper="Han et al. 2015, arXiv 1506.02626",
        summary=(
            "seven rounds of: remove weights below one standard deviation of their layer, finetune"
        ),
        kind="unstructured",
        cost="1 retraining per round",
        when=(
            "layers shall find their own sparsities; with reach: requested a rival of iterated "
            "magnitude"
        ),
        formula=(
            "remove w where |w| < q · σ    σ: standard deviation of the layer's weights, zeros "
            "included\n"
            "then finetune; 7 times"
        ),
    )
    reaches: ClassVar[Literal["exact", "nearest", "own"]] = "own"
    iterations: int = Field(default=7, ge=1, le=1000)
    q: float = Field(default=1.0, gt=0)
    std_over: Literal["all", "survivors", "fixed"] = "all"
    reach: Literal["own", "requested"] = "own"

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if self.reach == "requested" and self.q != type(self).model_fields["q"].default:
            raise ValueError(
                f"with reach 'requested' q is found, not given, but got {self.q:g}; leave it out"
            )
        return self

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        return [()] if self.reach == "own" else super().trials(sparsities)

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        phases: list[Phase] = []
        for level in range(1, self.iterations + 1):
            target = 1 - (1 - sparsities[0]) ** (level / self.iterations) if sparsities else None
            last = level == self.iterations
            phases += [Prune(sparsities[0] if sparsities and last else target, level)]
            phases += retraining("finetune", context)
            if not sparsities:
                phases.append(Measure(None, level))
        return [*phases, Measure(sparsities[0], self.iterations)] if sparsities else phases

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        """|w| in units of the layer's standard deviation, in fp64."""
        import torch

        if self.std_over != "fixed" or not inputs.memory:
            inputs.memory.update(
                {
                    name: self.deviation(weight, inputs.masks[name])
                    for name, weight in inputs.weights.items()
                }
            )
        tiny = torch.finfo(torch.float64).tiny
        return {
            name: weight.double().abs() / inputs.memory[name].clamp(min=tiny)
            for name, weight in inputs.weights.items()
        }

    def deviation(self, weight: Tensor, mask: Tensor) -> Tensor:
        """The standard deviation that counts, of all entries of a layer or of the kept ones; 0
        where none is kept."""
        entries = (weight[mask] if self.std_over == "survivors" else weight).double()
        return entries.std(correction=0) if entries.numel() else entries.sum()

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        """Masks that keep the weights above the threshold or, where a sparsity is requested,
        exactly as many as it leaves."""
        from pruning.masks import keep_best

        scores, fixed = self.scores(inputs), inputs.fixed
        if self.reach == "own":
            own = {name: inputs.masks[name] & (score >= self.q) for name, score in scores.items()}
            for name in fixed:
                own |= keep_best({name: scores[name]}, fixed[name], masks=inputs.masks)
            return own
        masks = keep_best(scores, inputs.requested_sparsity, masks=inputs.masks, fixed=fixed)
        kept = [score[masks[name]] for name, score in scores.items() if bool(masks[name].any())]
        if kept:
            inputs.notes.append(
                f"q {min(float(score.min()) for score in kept):.4g} in iteration {inputs.level}"
            )
        return masks
