"""What one trial is, and its key: the name under which its state, rows and failure are kept.

Does not import torch: studies are planned with it.
"""

import hashlib
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from models.sizes import GROUPS
from pruning.method import Method
from pruning.phases import (
    Measure,
    Phase,
    PhaseContext,
    Prune,
    Recalibrate,
    Reinitialise,
    Rewind,
    Train,
)
from pruning.registry import build_method
from pruning.user_error import UserError
from trainables.data.augment_names import find_own_functions
from trainables.data.loader_interface import Augment, MeanStd
from trainables.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

Scalar = bool | int | float | str
"""Mean and std per channel, in 0..1."""


class TrialSpec(BaseModel):
    """Everything that determines the result of one trial, and nothing else.

    `knobs` holds the method's knobs that are not the default. `sparsities` are those the trial
    measures, rising; the last is where it ends; there are none where the method's own rule decides.
    `retrain` is None where the method does not use the retrain recipe, so that a change of it does
    not make a new trial. `rewind_epochs` (dense trials only) are further epochs to store for
    others; they change what is stored, not the result, and are no part of the key. `test`: whether
    the test set may be read; a candidate of a search may not, and is measured on validation data
    only. `sources`: SHA-256 of the method files of the user that the trial runs, by name;
    none for methods that come with the project. So a changed file makes new trials. `exclude`:
    layers that are left alone, by name or pattern; `layer_sparsity`: sparsities of layers, by name
    or pattern, in place of `sparsities`. A dense trial has neither.

    `weights`: the digest of the given weights that the network begins with, see
    `trainables.weights`; empty where it begins with random ones. `normalise`: mean and std per
    channel, in 0..1, in place of those of the data. `image_size`: height and width to which images
    are brought; None leaves them as they are. `augment_sources`: as `sources`, of the user's
    functions among the augmentations. `norm_parts`: the ranks of the trial where a recipe takes
    batch-norm statistics by rank, else 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    model: str
    method: str
    knobs: dict[str, Scalar] = {}
    sparsities: tuple[float, ...] = (0.0,)
    seed: int
    recipe: Recipe = Recipe()
    retrain: Recipe | None = None
    rewind_epochs: tuple[int, ...] = ()
    test: bool = True
    sources: dict[str, str] = {}
    exclude: tuple[str, ...] = ()
    layer_sparsity: dict[str, float] = {}
    weights: str = ""
    normalise: MeanStd | None = None
    image_size: int | None = None
    augment_sources: dict[str, str] = {}
    norm_parts: int = 1

    @property
    def norms_by_rank(self) -> bool:
        """Whether a recipe takes batch-norm statistics by rank."""
        recipes = [self.recipe, *([self.retrain] if self.retrain else [])]
        return not all(recipe.sync_batch_norm for recipe in recipes)

    def of_ranks(self, ranks: int) -> "TrialSpec":
        """The trial if it is run by so many ranks."""
        return self.model_copy(update={"norm_parts": ranks if self.norms_by_rank else 1})

    @property
    def augments(self) -> tuple[Augment, ...]:
        """The augmentations of all recipes of the trial, that of its first training first."""
        retrain = self.retrain.augments if self.retrain else ()
        return tuple(dict.fromkeys([*self.recipe.augments, *retrain]))

    @property
    def identity(self) -> dict[str, object]:
        """The fields the hash of the key covers: what is not the default, and what the readable
        part abridges."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "knobs": self.knobs,
            "sparsities": list(self.sparsities),
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True),
            "retrain": None
            if self.retrain is None
            else self.retrain.model_dump(mode="json", exclude_defaults=True),
            **({} if self.test else {"test": False}),
            **({"sources": self.sources} if self.sources else {}),
            **({"exclude": sorted(set(self.exclude))} if self.exclude else {}),
            **({"layer_sparsity": self.layer_sparsity} if self.layer_sparsity else {}),
            **self._start(),
            **({"augment_sources": self.augment_sources} if self.augment_sources else {}),
            **({"norm_parts": self.norm_parts} if self.norm_parts > 1 else {}),
        }

    def _start(self) -> dict[str, object]:
        """What the trial begins with, as far as the study says it: weights and form of images."""
        given = {
            "weights": self.weights or None,
            "normalise": self.normalise and [list(values) for values in self.normalise],
            "image_size": self.image_size,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def key(self) -> str:
        """`<dataset>-<model>/<method>/<s<last sparsity> or own>/seed<seed>-<hash>`, readable and
        stable."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        place = f"{_safe_folder(self.dataset)}-{_safe_folder(self.model)}"
        ends = f"s{self.sparsities[-1]:.3f}" if self.sparsities else "own"
        return f"{place}/{_safe_folder(self.method)}/{ends}/seed{self.seed}-{digest}"

    def columns(self) -> dict[str, object]:
        """The columns that identify the trial in rows and plans."""
        return {
            "key": self.key,
            "dataset": self.dataset,
            "model": self.model,
            "method": self.method,
            "knobs": json.dumps(self.knobs, sort_keys=True),
            "recipe": self.recipe.non_default_json(),
            "retrain": self.retrain.non_default_json() if self.retrain else None,
            "seed": self.seed,
            **self._choices_of_layers(),
            **self._start(),
            **({"normalise": json.dumps(self.normalise)} if self.normalise else {}),
        }

    def _choices_of_layers(self) -> dict[str, str]:
        """The columns of the choices that there are, in JSON."""
        columns = {}
        if self.exclude:
            columns["exclude"] = json.dumps(sorted(set(self.exclude)))
        if self.layer_sparsity:
            columns["layer_sparsity"] = json.dumps(self.layer_sparsity, sort_keys=True)
        return columns

    def build_method(self) -> Method:
        """The method with this trial's knobs."""
        return build_method(self.method, self.knobs)

    def phase_context(
        self, image: tuple[int, int, int] | None = None, classes: int | None = None
    ) -> PhaseContext:
        """What the method may know when it lays out its phases; the structure of the network does
        not depend on the image."""
        retrain = self.retrain or self.recipe
        return PhaseContext(
            train_epochs=self.recipe.epochs,
            retrain_epochs=retrain.epochs,
            rewind_epochs=self.rewind_epochs,
            image=image or (3, 32, 32),
            groups=None if self.exclude else GROUPS.get(self.model),
            build=lambda: build_without_storage(self.model, image or (3, 32, 32), classes or 10),
            select=lambda network: self._select(network, image or (3, 32, 32)),
        )

    def _select(self, network: "nn.Module", image: tuple[int, int, int]) -> tuple[str, ...]:
        """Names of the weights that the trial prunes."""
        from pruning.prunable_layers import select_weights

        method = self.build_method()
        return select_weights(network, image, method=method, exclude=self.exclude).names

    def phases(
        self, image: tuple[int, int, int] | None = None, classes: int | None = None
    ) -> list[Phase]:
        """The phases of this trial, in the order in which they run."""
        return self.build_method().phases(self.sparsities, self.phase_context(image, classes))


def _safe_folder(name: str) -> str:
    """A name as one folder, or half of one: nothing in it can leave the study directory, or be too
    long for a disk."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).lstrip(".")[:100] or "_"


@lru_cache(maxsize=8)
def build_without_storage(model: str, image: tuple[int, int, int], classes: int) -> "nn.Module":
    """A network on the meta device: shapes and layers, no numbers."""
    import torch

    from models.model_registry import build_model

    with torch.device("meta"):
        return build_model(model, image=image, classes=classes)


def rewind_epochs_of(phases: list[Phase]) -> tuple[int, ...]:
    """Epochs of the dense training that the phases go back to, rising."""
    return tuple(sorted({phase.epoch for phase in phases if isinstance(phase, Rewind)}))


def needs_dense(method: Method, phases: list[Phase]) -> bool:
    """Whether a trial needs the dense training of its seed: to start from or to rewind into."""
    return method.starts_from == "dense" or bool(rewind_epochs_of(phases))


def check_norm_parts(spec: TrialSpec, ranks: int) -> None:
    """Pass if a trial is one of so many ranks, or their number does not matter to it.

    Raises:
        UserError: it is a trial of another number.
    """
    if spec.norms_by_rank and spec.norm_parts != ranks:
        raise UserError(
            f"sync_batch_norm: false makes {spec.key} a trial of {spec.norm_parts} ranks, but "
            f"there are {ranks}"
        )


def epochs_of(phases: list[Phase]) -> int:
    """Epochs that the phases train."""
    return sum(phase.end - phase.start for phase in phases if isinstance(phase, Train))


def dense_spec(spec: TrialSpec, rewind_epochs: tuple[int, ...] = ()) -> TrialSpec:
    """The dense trial that shares a trial's data set, model, recipe and seed, and may read the test
    set if it may."""
    return TrialSpec(
        dataset=spec.dataset,
        model=spec.model,
        method="dense",
        seed=spec.seed,
        recipe=spec.recipe,
        rewind_epochs=rewind_epochs,
        test=spec.test,
        weights=spec.weights,
        normalise=spec.normalise,
        image_size=spec.image_size,
        augment_sources={
            name: spec.augment_sources[name]
            for name in find_own_functions(spec.recipe.augments)
            if name in spec.augment_sources
        },
    ).of_ranks(spec.norm_parts)


def step_label(phase: Phase, epoch: int) -> str:
    """One step in words, for progress lines and logs."""
    match phase:
        case Train():
            return f"{phase.recipe} epoch {epoch + 1}/{phase.end}"
        case Prune():
            return "prune" if phase.sparsity is None else f"prune to {phase.sparsity:.3f}"
        case Rewind():
            return f"rewind to epoch {phase.epoch}"
        case Reinitialise():
            return "draw weights anew"
        case Recalibrate():
            return "recalibrate batch-norm"
        case Measure():
            return f"measure {phase.stage}"
