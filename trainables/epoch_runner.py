"""Trains the Train phases of a trial, one epoch after the other; an epoch may pause between two
batches."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from torch import Tensor

from pruning.held_masks import HeldMasks
from pruning.method import Method
from pruning.method_calls import MaskUpdates
from pruning.phases import Measure, Phase, Prune, Train
from pruning.seeds import make_generator
from trainables.data.batches import DrawnBatch, drawn_batches
from trainables.data.loader import ResidentLoader
from trainables.data.loader_interface import Loader
from trainables.dense_weights import store_weights_of_epoch
from trainables.early_stop import EarlyStopping, count_iterations
from trainables.network import Network
from trainables.prune_inputs import PruneInputs
from trainables.storage.store import Store
from trainables.training.epoch import Epoch, EpochResult
from trainables.training.learning_rate import learning_rate, momentum
from trainables.training.mixing import mix_batches
from trainables.training.ranked_epoch import epoch_of
from trainables.training.recipe import Recipe
from trainables.training.step_graph import StepGraph
from trainables.training_masks import TrainingMasks
from trainables.trial_records import TrialRecords
from trainables.trial_spec import TrialSpec

TRAINING_PASSES = 3  # of one image: forward, and backward for the weights and for the activations


@dataclass
class EpochRunner:
    """The training of one trial: its network changes, and its records grow by two curve rows an
    epoch."""

    spec: TrialSpec
    store: Store
    loader: Loader
    method: Method
    phases: list[Phase]
    network: Network
    records: TrialRecords
    prune_inputs: PruneInputs
    graph: StepGraph | None = None  # what replays steps of this trial on a GPU
    _epoch: Epoch | None = field(default=None, init=False)  # in progress in this process
    _early_stopping: EarlyStopping | None = field(default=None, init=False)  # of that epoch
    # What the epoch in progress was begun with: `stream` names its random numbers, `recipe_epoch`
    # the epoch of the recipe whose changes hold in it.
    _begun_with: dict[str, Any] = field(default_factory=dict, init=False)
    # In progress in the process that wrote the checkpoint, and not continued here yet.
    _paused: dict[str, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._masks = TrainingMasks(self.network)

    @property
    def in_progress(self) -> bool:
        """Whether an epoch has begun and paused between two batches."""
        return self._epoch is not None or self._paused is not None

    @property
    def batches(self) -> int:
        """Batches trained of the epoch in progress; 0 where there is none."""
        if self._epoch:
            return self._epoch.index
        return int(self._paused["index"]) if self._paused else 0

    def state(self) -> dict[str, Any] | None:
        """The epoch in progress as a checkpoint holds it; None where there is none."""
        return {**self._epoch.state(), **self._begun_with} if self._epoch else self._paused

    def restore(self, paused: dict[str, Any] | None) -> None:
        """Put back what `state` returned."""
        self._epoch, self._paused = None, paused

    def recipe_of(self, phase: Train) -> Recipe:
        """The recipe that a phase names."""
        retrain = self.spec.retrain or self.spec.recipe
        return self.spec.recipe if phase.recipe == "train" else retrain

    def run(self, index: int, epoch: int, step: int, pause: Callable[[], bool]) -> bool:
        """Train one epoch of phase number `index`, or the rest of it; `step` is its number in the
        trial.

        Returns:
            Whether the epoch is finished; False where `pause` returned True before its end.
        """
        phase = self.phases[index]
        assert isinstance(phase, Train), "only a training has epochs"
        self._epoch = self._epoch or self._begin(index, phase, epoch, step)
        began = time.perf_counter()
        result = self._epoch.train(pause)
        evaluated = self._early_stopping.take_seconds() if self._early_stopping else 0.0
        self.records.train_seconds += time.perf_counter() - began - evaluated
        if result is None:
            return False
        self._epoch = None
        if epoch + 1 == phase.end:
            self.network.end_training()
            if self.graph:
                self.graph.forget()
        self._record(phase, epoch, step, result)
        if epoch + 1 == phase.end:
            self.store_weights(phase, phase.end)
        return True

    def store_weights(self, phase: Train, epoch: int) -> None:
        """Store the present weights for other trials, if the phase says so for this epoch."""
        store_weights_of_epoch(self.store, self.spec, phase, epoch, self.network)

    def _record(self, phase: Train, epoch: int, step: int, result: EpochResult) -> None:
        """Count a finished epoch, evaluate the network and add the rows of the curves."""
        records = self.records
        records.add_notes(self.network.take_compile_notes())
        records.add_notes([self.graph.error] if self.graph and self.graph.error else [])
        records.epochs += 1
        same = {
            "key": self.spec.key,
            "step": step,
            "epoch": epoch,
            "phase": phase.recipe,
            "lr": result.lr,
        }
        records.curves.append({**same, "split": "train", "loss": result.loss, "top1": result.top1})
        if validation := self.network.evaluate(self.loader.evaluation_batches("validation")):
            records.curves.append(
                {**same, "split": "validation", "loss": validation.loss, "top1": validation.top1}
            )
        if self.recipe_of(phase).record_best_test and (
            test := self.network.evaluate(self.loader.evaluation_batches("test"))
        ):
            records.best_test = max(test.top1, records.best_test or 0.0)
        if records.train_macs is not None:
            # Last, because a network of the user may draw random numbers even in this pass.
            records.train_macs += TRAINING_PASSES * result.images * self.network.count_macs()

    def _begin(self, index: int, phase: Train, epoch: int, step: int) -> Epoch:
        """An epoch at its first batch, or at the batch after the pause that a checkpoint holds."""
        paused, self._paused = self._paused, None
        whole = self.recipe_of(phase)
        stream, recipe_epoch = self._stream(index, epoch), phase.recipe_epoch(epoch, whole.epochs)
        if paused:  # where an older version noted nothing, it began with these
            stream = paused.get("stream", self._first_stream(phase, epoch))
            recipe_epoch = paused.get("recipe_epoch", epoch)
        self._begun_with = {"stream": list(stream), "recipe_epoch": recipe_epoch}
        recipe = whole.at(recipe_epoch)
        if epoch == phase.start and not paused:
            self.network.renew_optimizer(recipe)
            self.records.best_test = self.records.early_stop = None
        if not paused:
            self.store_weights(phase, epoch)
        steps = self.loader.batches_per_epoch(recipe.batch)
        part_of_step = 1 / ceil(steps / recipe.accumulate)  # of the epoch

        batches_done = paused["index"] if paused else 0
        self._early_stopping = self._watch_for_early_stop(phase, epoch, step, batches_done)

        def at(value: Callable[..., Any]) -> Callable[[float], Any]:
            return lambda part: value(recipe, epoch + part, length=phase.length, step=part_of_step)

        return epoch_of(self.network.ranks, recipe)(
            self.network.model,
            self._training_batches(recipe, stream, batches_done),
            steps=steps,
            optimizer=self.network.update_optimizer(recipe),
            scaler=self.network.scaler,
            held=self._masks.hold(whole=phase.updates),
            learning_rate=at(learning_rate),
            momentum=at(momentum),
            precision=self.network.precision,
            device=self.network.device,
            label_smoothing=recipe.label_smoothing,
            accumulate=recipe.accumulate,
            batch=recipe.batch,
            images=self.loader.count("training"),
            clip=recipe.clip,
            average=self.network.average,
            decay=recipe.ema,
            **(self._mask_update(index, phase, epoch) if phase.updates else {}),
            stepped=self._early_stopping.count if self._early_stopping else None,
            paused=paused,
            forward=self.network.training_forward(recipe, graphed=bool(self._graph_of(recipe))),
            graph=self._graph_of(recipe),
        )

    def _graph_of(self, recipe: Recipe) -> StepGraph | None:
        """What may replay the steps of a recipe: a batch that lies on the device is a step."""
        simple = recipe.accumulate == 1 and not recipe.mixes and not recipe.cycle_momentum
        alone = self.network.ranks.count == 1
        return self.graph if simple and alone and isinstance(self.loader, ResidentLoader) else None

    def _training_batches(
        self, recipe: Recipe, stream: tuple[str | int, ...], skip: int
    ) -> Iterator[tuple[Tensor, Tensor]] | Iterator[DrawnBatch]:
        """The batches of an epoch, mixed where the recipe says so, without the first `skip`; not
        gathered yet where the steps may be replayed."""
        asked: dict[str, Any] = {
            "batch": recipe.batch,
            "augment": recipe.augment,
            "generator": make_generator(self.spec.seed, *stream),
            "skip": skip,
        }
        if self._graph_of(recipe) and isinstance(self.loader, ResidentLoader):
            return drawn_batches(self.loader.pixels, **asked)
        batches = self.loader.training_batches(**asked, before=recipe.mixes)
        if not recipe.mixes:
            return batches
        return mix_batches(
            batches,
            classes=self.loader.data.classes,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            seed=self.spec.seed,
            names=tuple(stream),
            first=skip,
            before=True,
        )

    def _watch_for_early_stop(
        self, phase: Train, epoch: int, step: int, batches_done: int
    ) -> EarlyStopping | None:
        """What evaluates an epoch by iteration, after so many of its batches; None where the recipe
        does not say so, or the method changes masks in this training, so that its networks have not
        one sparsity."""
        whole = self.recipe_of(phase)
        if not whole.evaluate_every or phase.updates:
            return None
        recipes = (whole.at(phase.recipe_epoch(n, whole.epochs)) for n in range(epoch + 1))
        counts = [(self.loader.batches_per_epoch(of.batch), of.accumulate) for of in recipes]
        return EarlyStopping(
            self.network,
            self.loader,
            self.records,
            every=whole.evaluate_every,
            iteration=count_iterations(counts, batches_done),
            same={"key": self.spec.key, "step": step, "epoch": epoch, "phase": phase.recipe},
        )

    def _first_stream(self, phase: Train, epoch: int) -> tuple[str | int, ...]:
        """The random numbers of an epoch of the first training of its kind: of the recipe, or of
        the retrainings of a level."""
        level = self.records.level
        return ("train", epoch) if phase.recipe == "train" else ("retrain", level, epoch)

    def _stream(self, index: int, epoch: int) -> tuple[str | int, ...]:
        """Names the random numbers of an epoch of phase number `index`.

        Trainings with the train recipe see the images in one order, also after a rewind. A further
        retraining of the same level, as HRank's last, sees them in an order of its own.
        """
        phase = self.phases[index]
        assert isinstance(phase, Train)
        first, earlier = self._first_stream(phase, epoch), self._count_retrainings(index)
        return first if phase.recipe == "train" or not earlier else (*first, "again", earlier)

    def _count_retrainings(self, index: int) -> int:
        """The retrainings of the same level that come before phase number `index`."""
        count = 0
        for phase in self.phases[:index]:
            if isinstance(phase, Prune):
                count = 0
            count += isinstance(phase, Train) and phase.recipe == "retrain"
        return count

    def _mask_update(self, index: int, phase: Train, epoch: int) -> dict[str, Callable[[int], Any]]:
        """The callbacks by which the method changes masks inside this epoch, by what `Epoch` calls
        them; progress is counted in the optimiser steps of the whole phase, whose batches may
        change."""
        sparsity = next(
            later.sparsity for later in self.phases[index:] if isinstance(later, Measure)
        )
        whole = self.recipe_of(phase)
        steps = {}
        for number in range(phase.start, phase.end):
            recipe = whole.at(phase.recipe_epoch(number, whole.epochs))
            steps[number] = ceil(self.loader.batches_per_epoch(recipe.batch) / recipe.accumulate)
        total = sum(steps.values())
        before = sum(count for number, count in steps.items() if number < epoch)
        updates = MaskUpdates(
            self.method,
            total,
            make_input=lambda step, **place: self.prune_inputs.make(
                sparsity, "update", step, **place
            ),
            set_masks=self.network.set_masks,
            add_notes=self.records.add_notes,
        )

        def update(step: int) -> HeldMasks | None:
            return self._masks.replace() if updates.update(before + step) else None

        return {"update": update, "updates": lambda step: updates.is_due(before + step)}
