"""The base of every pruning method: a card, some knobs, a list of phases and a score.

Method files are read to list, plan and validate studies, so importing them must not import torch: a
file that needs it imports it inside the function that uses it (a test checks this).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from pruning.phases import Measure, Phase, PhaseContext, Prune, Retrain, Train, retraining

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pruning.structured.keep_plan import Smaller
    from pruning.weight_uses import WeightUse

    Masks = Mapping[str, Tensor]


@dataclass(frozen=True)
class Card:
    """What a reader wants to know of a method before running it; `--list-methods` and the docs are
    made of these.

    formula: the rule in plain text, for the method's page; s is the sparsity, w a weight.
    """

    title: str
    paper: str
    summary: str
    kind: Literal["baseline", "unstructured", "structured", "control"]
    cost: str
    when: str
    formula: str = ""


@dataclass(frozen=True, kw_only=True)
class PruneInput:
    """Everything that a method may look at when it prunes.

    model: the network, on its device; a method may rewrite surviving weights in place.
    masks: the current masks (bool, True = kept, one per prunable weight). A weight that is masked
        stays masked.
    sparsity: the fraction of prunable weights that shall be zero afterwards; None where the
        method's own rule decides.
    generator: a CPU generator seeded by (seed, level); the only source of randomness.
    images: `images(n)` yields batches (x float [B, C, H, W] normalised and not augmented, y int64
        [B]) of n training images in all, the same ones for the same seed and level; 128 a batch,
        whatever the recipe's batch, so that no score depends on it.
    image: (channels, height, width) of one input.
    progress, interval: for `update`, the fraction of the training phase that is done and the
        fraction between two updates; the k-th update (from 0) comes at progress k x interval. Both
        are 0 in `prune`.
    last: whether no prune follows in this trial.
    fixed: sparsities of layers that the study sets apart (`layer_sparsity`), by name of the weight;
        `sparsity` is that of all others. `keep_best` and `layer_counts` take them. Methods that
        remove channels take them as fractions of the layer's filters.
    memory: tensors that a method keeps from one of its prunes to the next, saved with the trial,
        and on the device of the model at each of them; empty at the first one.
    notes: a method may append sentences that belong in the row, e.g. the layers it had to skip.
    """

    model: nn.Module
    masks: Masks
    sparsity: float | None
    generator: torch.Generator
    images: Callable[[int], Iterator[tuple[Tensor, Tensor]]]
    image: tuple[int, int, int]
    level: int = 1
    progress: float = 0.0
    interval: float = 0.0
    last: bool = True
    fixed: Mapping[str, float] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to prune by name, those that have masks: detached, sharing memory with the
        model."""
        from pruning.masks import prunable

        weights = prunable(self.model, only=self.masks)
        return {name: weight.detach() for name, weight in weights.items()}

    @property
    def requested_sparsity(self) -> float:
        """The sparsity, for a method that must be given one.

        Raises:
            ValueError: none was requested.
        """
        if self.sparsity is None:
            raise ValueError("this prune needs a sparsity, but none was requested")
        return self.sparsity


class Method(BaseModel):
    """One pruning method. Its fields are its knobs; every value that is not the default is part of
    a trial's key.

    A method that only ranks weights overrides `scores`; one that does more overrides `prune`; one
    whose phases are not "prune, retrain, measure" overrides `phases`; one that changes masks while
    training overrides `update`. A class says in its docstring what its knobs mean; these mean the
    same in every method that has them:

    scope: "global" ranks the weights of all layers together, "layer" those of each layer for
        itself.
    retrain: after a prune, "finetune" continues with the retrain recipe; "weight_rewind" puts the
        weights back to epoch `rewind_to` and trains from there with the train recipe; "lr_rewind"
        only puts back the schedule.
    rewind_to: an epoch of the dense training; 0 is its start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    card: ClassVar[Card]
    starts_from: ClassVar[Literal["init", "dense"]] = "dense"
    # Whether the reached sparsity is exactly the requested one, the nearest that whole filters (or
    # n:m layers) allow, or an outcome of the method's own rule.
    reaches: ClassVar[Literal["exact", "nearest", "own"]] = "exact"
    # Whether it prunes at all; one that does not measures a dense network, at sparsity 0.
    prunes: ClassVar[bool] = True
    # Knobs with which, at another value than the default, it may not be able to prune a network of
    # the project; those networks are known to be fit for all methods otherwise, and not tried.
    network_knobs: ClassVar[tuple[str, ...]] = ()
    # Whether `methods: all` in a study file includes it.
    in_all: ClassVar[bool] = True
    # A knob that a plan sets, where the study leaves it out, to the epochs in total (those of the
    # dense training, and its own) of the longest method of its setting that is no control.
    longest_knob: ClassVar[str | None] = None

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the other methods that this one runs inside its trials; only controls do."""
        return ()

    @property
    def cuts_channels(self) -> bool:
        """Whether it removes whole channels, so that the network becomes smaller."""
        return self.card.kind == "structured"

    def output_sparsity(self, sparsity: float) -> float | None:
        """The sparsity of the last layer of the network where that of all others shall be
        `sparsity`; it comes in `PruneInput.fixed`, unless the study gives the layer another one.
        Default: None, no layer of its own.
        """
        return None

    @property
    def keeps_exact_count(self) -> bool:
        """Whether a measured level keeps exactly as many weights as the sparsity asks for; where it
        does, that is checked."""
        return self.reaches == "exact"

    @property
    def takes_layer_sparsity(self) -> bool:
        """Whether it does what `PruneInput.fixed` asks. Default: methods that set single weights to
        zero; that they do is checked when a level is measured."""
        return not self.cuts_channels

    def find_unfit(self, uses: Mapping[str, WeightUse]) -> dict[str, str]:
        """Layers that this method cannot prune, by name of the weight, each with the reason; they
        are left out. Default: none.

        Args:
            uses: how the forward pass uses each weight.
        """
        return {}

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        """Why this method cannot prune such a network, in words that name the layer; None where it
        can. Default: None.

        It is called before a study starts. An error that it raises is an answer, too, so a method
        may simply try what it does with a network.

        Args:
            inputs: a network with fresh weights and no requested sparsity, to be left as it is;
                `images(n)` yields two random images, whatever n.
        """
        return None

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        """Split a study's sparsities into trials; each tuple is measured by one trial. Default: a
        trial for each.

        An empty tuple is a trial that measures what the method's own rule reaches.
        """
        return [(sparsity,) for sparsity in sparsities]

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        """The phases of the trial that measures `sparsities`. Default: prune, train, measure, for
        one sparsity.

        A method that starts from the trained network retrains it as its `retrain` knob says
        (finetuning where it has none); one that starts from the initial weights then trains for the
        full budget.
        """
        (sparsity,) = sparsities
        if self.starts_from == "init":
            training: list[Phase] = [Train("train", context.train_epochs)]
        else:
            how: Retrain = getattr(self, "retrain", "finetune")
            training = retraining(how, context, rewind_to=getattr(self, "rewind_to", 0))
        return [Prune(sparsity), *training, Measure(sparsity)]

    def scores(self, inputs: PruneInput) -> Mapping[str, Tensor]:
        """Importance of every prunable weight, by name and in its shape; the largest are kept."""
        raise TypeError(f"{type(self).__name__} defines neither scores nor prune")

    def prune(self, inputs: PruneInput) -> Masks | Smaller:
        """Masks, or for structured methods which channels to keep.

        Default: masks with exactly `round((1 - sparsity) * N)` kept weights, the highest scores
        over `scope`.
        """
        from pruning.masks import keep_best
        from pruning.method_answers import check_scores_fit

        scope: Literal["global", "layer"] = getattr(self, "scope", "global")
        scores = self.scores(inputs)
        check_scores_fit(scores, inputs.masks)
        return keep_best(
            scores,
            inputs.requested_sparsity,
            masks=inputs.masks,
            scope=scope,
            fixed=inputs.fixed,
        )

    def interval(self, steps: int) -> int:
        """Optimiser steps between two calls of `update` in a training of `steps`: the `every` knob,
        else 100.

        A training too short for 20 intervals of that length has 20 shorter ones.
        """
        return max(1, min(getattr(self, "every", 100), steps // 20))

    def update(self, inputs: PruneInput) -> Masks | None:
        """New masks inside a training phase with `updates`, or None to leave them; gradients are in
        `.grad`.

        Gradients are dense, and under fp16 they carry the scaler's factor. The optimiser step with
        them follows.
        """
        raise TypeError(f"{type(self).__name__} does not change masks while training")
