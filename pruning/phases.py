"""The phases a trial is made of, as plain values.

A method answers with a list of phases; the trial expands it to steps (one epoch, one prune, ...)
and walks them. Progress, time left, cost estimate and resuming all read this one list. Importing
this module does not import torch.
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

    `recipe` names the study's recipe: "train" (the dense budget) or "retrain" (after pruning).
    `length` is the number of epochs the recipe's learning-rate schedule is laid over, where that is
    not its own. `publish` lists epochs whose weights, as they are before that epoch (or after the
    last), are stored for other trials to start from. With `updates`, the method's `update` is
    called inside the epochs.
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


@dataclass(frozen=True)
class Prune:
    """One call of the method's `prune`, after which `sparsity` of the prunable weights shall be
    zero.

    None: the method's own rule decides how many.
    """

    sparsity: float | None
    level: int = 1


@dataclass(frozen=True)
class Rewind:
    """Put back weights and buffers as they were before `epoch` of the dense training; masks stay.
    """

    epoch: int = 0


@dataclass(frozen=True)
class Reinitialise:
    """Draw weights and buffers anew, as the network draws its own; masks and removed channels stay.

    `stream` names the draw: the same one for the same seed, another one than the initial weights of
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
    """Evaluate on validation and test data and record one row; `sparsity` is the requested one,
    None where none was."""

    sparsity: float | None
    level: int = 1
    stage: str = "final"


Phase = Train | Prune | Rewind | Reinitialise | Recalibrate | Measure
Retrain = Literal["finetune", "weight_rewind", "lr_rewind"]


@dataclass(frozen=True)
class Setting:
    """What a method may know of the trial when it lays out its phases.

    `train_epochs` and `retrain_epochs` are the lengths of the two recipes. `rewind_epochs` are the
    epochs that other trials of the plan rewind to. `image` is the (channels, height, width) of an
    input. `build` makes the network without storage (meta device); it needs torch, so only methods
    whose course depends on the network ask for it. `groups`: how many channel groups the network
    has, and how many of them are residual, where known without it.
    """

    train_epochs: int
    retrain_epochs: int
    rewind_epochs: tuple[int, ...] = ()
    image: tuple[int, int, int] = (3, 32, 32)
    build: Callable[[], "nn.Module"] | None = None
    groups: tuple[int, int] | None = None

    @cached_property
    def network(self) -> "nn.Module":
        """The network without storage, for its structure."""
        if self.build is None:
            raise ValueError("this setting does not know its network")
        return self.build()


def retraining(how: Retrain, setting: Setting, *, rewind_to: int = 0) -> list[Phase]:
    """The phases that train a pruned network again (Renda et al. 2020, arXiv 2003.02389).

    finetune: the weights go on with the retrain recipe. weight_rewind: weights go back to epoch
    `rewind_to` and the train recipe runs from there. lr_rewind: the weights stay and only the
    schedule goes back.

    Raises:
        ValueError: `rewind_to` lies outside the training.
    """
    if not 0 <= rewind_to <= setting.train_epochs:
        raise ValueError(
            f"rewind_to must be in [0, {setting.train_epochs}] (epochs of training), but got {rewind_to}"
        )
    match how:
        case "finetune":
            return [Train("retrain", setting.retrain_epochs)]
        case "weight_rewind":
            return [Rewind(rewind_to), Train("train", setting.train_epochs, start=rewind_to)]
        case "lr_rewind":
            return [Train("train", setting.train_epochs, start=rewind_to)]
