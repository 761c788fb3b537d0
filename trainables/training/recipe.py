"""The recipe of a training: optimiser, learning-rate schedule, batch, augmentation and precision.

The rate at any point of a training is in `learning_rate.py`. Does not import torch.
"""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pruning.user_error import short
from trainables.data.augment_names import parse_augment
from trainables.data.loader_interface import Augment

LONGEST = 100_000  # epochs


def _refuse_booleans(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, but got {str(value).lower()}")
    return value


def _refuse_ranges(value: object) -> object:
    """Texts that are no whole number: "0-2" would be read as -2."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[-+]?\d[\d_]*(\.0*)?\s*", value):
        raise ValueError(f"must be a whole number, but got {short(value)}")
    return _refuse_booleans(value)


# Numbers as a user writes them: 0.1, also "1e-3", which YAML takes for text; but not yes or no.
Number = Annotated[float, BeforeValidator(_refuse_booleans)]
Count = Annotated[int, BeforeValidator(_refuse_ranges)]
Epochs = Annotated[Count, Field(ge=0, le=LONGEST)]
Augmentation = Annotated[Augment, BeforeValidator(parse_augment)]


class Change(BaseModel):
    """Fields of a recipe that change within a training, from the start of an epoch on; None stays
    as it is. A training that the recipe is laid over at another length than its epochs, such as
    those of HRank's layers or of dense_longer, has them at the same fraction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epoch: Count = Field(ge=1, le=LONGEST, description="from its start on, counted from 0")
    batch: Count | None = Field(
        default=None, ge=2, le=1_000_000, description="as in a recipe, from then on"
    )
    lr: Number | None = Field(
        default=None, gt=0, description="as in a recipe; the schedule continues around it"
    )
    momentum: Number | None = Field(default=None, ge=0, lt=1, description="as in a recipe")
    weight_decay: Number | None = Field(default=None, ge=0, description="as in a recipe")
    clip: Number | None = Field(default=None, gt=0, description="as in a recipe")
    accumulate: Count | None = Field(default=None, ge=1, le=10_000, description="as in a recipe")
    ema: Number | None = Field(
        default=None, gt=0, lt=1, description="as in a recipe; the average may begin with it"
    )
    label_smoothing: Number | None = Field(default=None, ge=0, lt=1, description="as in a recipe")
    augment: Augmentation | None = Field(default=None, description="as in a recipe")
    mixup: Number | None = Field(default=None, ge=0, le=100, description="as in a recipe")
    cutmix: Number | None = Field(default=None, ge=0, le=100, description="as in a recipe")

    @property
    def fields(self) -> dict[str, object]:
        """What changes, by field."""
        return {field: value for field, value in self if field != "epoch" and value is not None}

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.fields:
            known = ", ".join(field for field in Change.model_fields if field != "epoch")
            raise ValueError(f"a change at epoch {self.epoch} must name one of {known}")
        return self


class Recipe(BaseModel):
    """Optimiser, schedule, batch, augmentation and precision of one training.

    Fields that are not the default are part of a trial's key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Epochs = Field(default=160, description="passes over the training images")
    batch: Count = Field(
        default=128, ge=2, le=1_000_000, description="images in a forward pass of training"
    )
    accumulate: Count = Field(
        default=1,
        ge=1,
        le=10_000,
        description="batches in an optimiser step: its gradient is the mean over all their images",
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="sgd", description="of torch.optim")
    lr: Number = Field(default=0.1, gt=0, description="the highest learning rate of the schedule")
    momentum: Number = Field(default=0.9, ge=0, lt=1, description="of sgd")
    nesterov: bool = Field(default=False, description="Nesterov's momentum, with sgd")
    weight_decay: Number = Field(default=1e-4, ge=0, description="of all parameters")
    decay_norm_and_bias: bool = Field(
        default=True, description="weight decay of normalisation layers and biases, too"
    )
    clip: Number | None = Field(
        default=None, gt=0, description="largest norm of the gradient of all kept weights together"
    )
    sync_batch_norm: bool = Field(
        default=True,
        description="where a trial has several GPUs: batch-norm by the whole batch; false: by each "
        "GPU's part of it, which is another training",
    )
    ema: Number | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which is evaluated, "
        "and is the network when the training ends",
    )
    schedule: Literal["constant", "cosine", "multistep", "onecycle"] = Field(
        default="cosine", description="of the learning rate"
    )
    milestones: tuple[Epochs, ...] = Field(
        default=(), description="epochs at which multistep lowers the rate"
    )
    gamma: Number = Field(default=0.1, gt=0, le=1, description="factor of the rate at a milestone")
    warmup: Epochs = Field(default=0, description="epochs of linear warm-up; onecycle has its own")
    pct_start: Number = Field(
        default=0.3, gt=0, lt=1, description="fraction of the training in which onecycle rises"
    )
    div_factor: Number = Field(
        default=25.0, ge=1, le=1e9, description="onecycle begins with lr divided by this"
    )
    final_div_factor: Number = Field(
        default=1e4, ge=1, le=1e12, description="and ends with what it begins with divided by this"
    )
    cycle_momentum: bool = Field(
        default=False,
        description="onecycle lowers the momentum, or Adam's first beta, from 0.95 to 0.85 "
        "while the rate rises",
    )
    label_smoothing: Number = Field(
        default=0.0, ge=0, lt=1, description="share of the target spread over all classes"
    )
    augment: Augmentation = Field(
        default="crop_flip",
        description="none, crop, crop_flip, resized_crop, randaugment, trivial_augment, "
        "random_erasing, package.module:function, or a list of them in their order",
    )
    mixup: Number = Field(
        default=0.0,
        ge=0,
        le=100,
        description="alpha of mixup: pairs of images are mixed by a share from Beta(alpha, alpha)",
    )
    cutmix: Number = Field(
        default=0.0,
        ge=0,
        le=100,
        description="alpha of CutMix: a rectangle comes from another image; with mixup either, "
        "by chance",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: by the hardware"
    )
    compile: bool | Literal["auto"] = Field(
        default="auto", description="torch.compile: auto where it pays"
    )
    hold_out: bool = Field(
        default=True, description="keep the validation split out of the training data"
    )
    evaluate_every: Count = Field(
        default=0,
        ge=0,
        le=10**9,
        description="iterations between two evaluations on the validation split within a training: "
        "the row then says where early stopping would have ended it; 0: none",
    )
    record_best_test: bool = Field(
        default=False, description="also store the best test epoch, in its own column"
    )

    changes: tuple[Change, ...] = Field(
        default=(), description="fields that change within the training"
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.schedule == "multistep" and not self.milestones:
            raise ValueError("schedule 'multistep' needs milestones")
        if self.schedule != "multistep" and self.milestones:
            raise ValueError(
                f"milestones belong to schedule 'multistep', but the schedule is '{self.schedule}'"
            )
        if self.schedule == "onecycle" and self.warmup:
            raise ValueError("schedule 'onecycle' has a warm-up of its own: pct_start, not warmup")
        for field in ("pct_start", "div_factor", "final_div_factor", "cycle_momentum"):
            if self.schedule != "onecycle" and getattr(self, field) != _default(field):
                raise ValueError(
                    f"{field} belongs to schedule 'onecycle', but the schedule is '{self.schedule}'"
                )
        if self.cycle_momentum and (
            self.momentum != _default("momentum")
            or any(change.momentum is not None for change in self.changes)
        ):
            raise ValueError("cycle_momentum sets the momentum: leave out momentum, or it")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, but got {list(self.milestones)}")
        if self.evaluate_every and not self.hold_out:
            raise ValueError("evaluate_every needs the validation split: leave out one of the two")
        if self.nesterov and (
            not self.momentum or any(change.momentum == 0 for change in self.changes)
        ):
            raise ValueError("nesterov needs momentum above 0")
        epochs = [change.epoch for change in self.changes]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"changes must be at rising epochs, but got {epochs}")
        return self

    @property
    def mixes(self) -> bool:
        """Whether the images of a batch are mixed."""
        return bool(self.mixup or self.cutmix)

    @property
    def augments(self) -> tuple[Augment, ...]:
        """The augmentations of the training, that of its beginning first."""
        changed = [change.augment for change in self.changes if change.augment is not None]
        return tuple(dict.fromkeys([self.augment, *changed]))

    def at(self, epoch: int) -> "Recipe":
        """The recipe as it is in an epoch, counted from 0: with all changes up to it."""
        changed: dict[str, object] = {}
        for change in self.changes:
            if change.epoch <= epoch:
                changed |= change.fields
        return self.model_copy(update=changed)

    def non_default_json(self) -> str:
        """The fields that are not the default, as JSON with sorted keys."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def _default(field: str) -> object:
    return Recipe.model_fields[field].default
