"""The phases a trial is made of, as plain values.

A method returns a list of phases; the trial expands it to steps (one epoch, one prune, ...) and
executes them in order. Progress, time left, cost estimate and resuming all read this one list.
Importing this module does not import torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

RecipeName = Literal["train", "retrain"]


@dataclass(frozen=True)
class Train:
    """Epochs `start` ... `end - 1` of a recipe, with a fresh optimiser; one step an epoch.

    recipe: the study's "train" recipe (the dense budget) or its "retrain" recipe (after pruning).
    length: the number of epochs that the recipe is laid over, where that is not its own: schedule,
        warm-up, milestones and changes (batch, augmentation, ...) all come at the same fraction of
        the training. Without it they come at the epochs that they name.
    publish: epochs whose weights, as they are before that epoch (or after the last), are stored for
        other trials to start from.
    updates: whether the method's `update` is called inside the epochs.
    """

    recipe: RecipeName
    end: int
    start: int = 0
    length: int | None = None
    publish: tuple[int, ...] = ()
    updates: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(
                f"a training runs from epoch 0 <= start <= end, but got {self.start} to {self.end}"
            )

    def recipe_epoch(self, epoch: int, recipe_epochs: int) -> int:
        """The epoch of a recipe of that many epochs whose changes hold in an epoch of this phase: a
        change comes with the first epoch that begins at or after its place."""
        return epoch * recipe_epochs // self.length if self.length else epoch


@dataclass(frozen=True)
class Prune:
    """One call of the method's `prune`.

    sparsity: the fraction of the prunable weights that shall be zero afterwards; None where the
        method's own rule decides.
    """

    sparsity: float | None
    level: int = 1


@dataclass(frozen=True)
class Rewind:
    """Put back weights and buffers as they were before `epoch` of the dense training; keep
    masks."""

    epoch: int = 0


@dataclass(frozen=True)
class Reinitialise:
    """Draw weights and buffers anew, as the network draws its own; masks and removed channels stay.

    stream: names the draw. One seed always draws the same weights, and never the initial weights of
        any seed.
    """

    stream: str = "reinit"


@dataclass(frozen=True)
class Recalibrate:
    """Reset the batch-norm statistics and estimate them anew from batches augmented as in training;
    weights stay."""

    batches: int = 100


@dataclass(frozen=True)
class Measure:
    """Evaluate on validation and test data and record one row.

    sparsity: the requested one; None where none was requested.
    """

    sparsity: float | None
    level: int = 1
    stage: str = "final"


Phase = Train | Prune | Rewind | Reinitialise | Recalibrate | Measure
Retrain = Literal["finetune", "weight_rewind", "lr_rewind"]


@dataclass(frozen=True)
class PhaseContext:
    """What a method may know of its trial when it lists the phases.

    train_epochs, retrain_epochs: the lengths of the two recipes.
    rewind_epochs: the epochs that other trials of the plan rewind to.
    image: (channels, height, width) of an input.
    build: makes the network without storage (meta device). It needs torch, so only methods whose
        phases depend on the network use it.
    groups: how many channel groups the network has, and how many of them are residual, where that
        is known without building the network.
    select: names of the weights of the network that the trial prunes; None: all.
    """

    train_epochs: int
    retrain_epochs: int
    rewind_epochs: tuple[int, ...] = ()
    image: tuple[int, int, int] = (3, 32, 32)
    build: Callable[[], "nn.Module"] | None = None
    groups: tuple[int, int] | None = None
    select: Callable[["nn.Module"], tuple[str, ...]] | None = None

    @cached_property
    def network(self) -> "nn.Module":
        """The network without storage, for its structure."""
        if self.build is None:
            raise ValueError("the phases depend on the network, but none is given")
        return self.build()


def retraining(how: Retrain, context: PhaseContext, *, rewind_to: int = 0) -> list[Phase]:
    """The phases that train a pruned network again (Renda et al. 2020, arXiv 2003.02389).

    finetune: training continues with the retrain recipe. weight_rewind: the weights go back to
    epoch `rewind_to` and the train recipe runs from there. lr_rewind: the weights stay and only the
    schedule goes back.

    Raises:
        ValueError: `rewind_to` lies outside the training.
    """
    if not 0 <= rewind_to <= context.train_epochs:
        raise ValueError(
            f"rewind_to must be in [0, {context.train_epochs}] (epochs of training), "
            f"but got {rewind_to}"
        )
    match how:
        case "finetune":
            return [Train("retrain", context.retrain_epochs)]
        case "weight_rewind":
            return [Rewind(rewind_to), Train("train", context.train_epochs, start=rewind_to)]
        case "lr_rewind":
            return [Train("train", context.train_epochs, start=rewind_to)]
