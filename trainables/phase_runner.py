"""The course of a trial: what each phase does to the network, and what was measured on the way."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from math import nan
from typing import Any

import torch
from torch import Tensor

from pruning.method import PruneInput
from pruning.phases import Measure, Phase, Prune, Recalibrate, Reinitialise, Rewind, Train
from pruning.structured.shrink import Smaller
from trainables.data.batches import training_batches
from trainables.data.loader import resident
from trainables.environment import Environment
from trainables.measured_row import describe_layers, describe_level, describe_trial
from trainables.network import Network
from trainables.storage import checkpoints
from trainables.storage.store import Store
from trainables.training.epoch import Accuracy, Epoch, HeldMasks, evaluate, recalibrate
from trainables.training.recipe import Recipe
from trainables.training.seeds import generator
from trainables.trial_spec import TrialSpec, dense_spec, epochs_of


class ParentMissing(RuntimeError):
    """The dense weights that a trial starts from or rewinds to are not in the study directory."""


class Course:
    """The network of a trial and the records made of it, changed by one phase after the other.

    level: of the last prune. epochs, train_seconds: trained so far. memory: what the method keeps
    between its prunes. midway: whether it stands between two batches of an epoch.
    """

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self.spec, self.environment = spec, environment
        self.store = Store.at(environment.store)
        self.device = torch.device(environment.device)
        images = resident(
            spec.dataset,
            environment.data_dir,
            environment.data_cache,
            spec.recipe.hold_out,
            environment.device,
        )
        self.images = images if spec.test else images.withhold()
        self.method = spec.build_method()
        self.phases: list[Phase] = spec.phases(self.images.data.image, self.images.data.classes)
        steps = epochs_of(self.phases) * self.images.batches_per_epoch(spec.recipe.batch)
        self.network = Network(
            spec, self.images.data.image, self.images.data.classes, self.device, steps=steps
        )
        self.level, self.epochs, self.train_seconds = 0, 0, 0.0
        self.best_test: float | None = None
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.rows: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.memory: dict[str, Tensor] = {}
        self._epoch: Epoch | None = None  # under way in this process
        self._paused: dict[str, Any] | None = (
            None  # under way in the process that wrote the checkpoint
        )

    @property
    def midway(self) -> bool:
        """Whether the next step has been begun: an epoch that paused between two batches."""
        return self._epoch is not None or self._paused is not None

    @property
    def batches(self) -> int:
        """Batches trained of the epoch that is under way."""
        return (
            self._epoch.index if self._epoch else int(self._paused["index"]) if self._paused else 0
        )

    def begin(self) -> None:
        """Take the weights the method starts from, and publish them where a training has no epochs.

        Raises:
            ParentMissing: it starts from the dense network, which is not there.
        """
        if self.method.starts_from == "dense":
            self.network.load(self._dense_weights(self.spec.recipe.epochs))
        for phase in self.phases:
            if (
                isinstance(phase, Train) and phase.start == phase.end
            ):  # no epoch of it will be walked
                self._publish(phase, phase.end)

    def walk(self, index: int, epoch: int, step: int, pause: Callable[[], bool]) -> bool:
        """Do one step: phase number `index`, and of a training the given epoch; `step` is its
        number in the trial.

        An epoch stops between two batches when `pause` says so; walked again, it goes on.

        Returns: whether the step is done.
        """
        phase = self.phases[index]
        match phase:
            case Train():
                return self._train(phase, epoch, step, pause)
            case Prune():
                self._prune(
                    phase,
                    last=not any(isinstance(later, Prune) for later in self.phases[index + 1 :]),
                )
            case Rewind():
                self.network.load(self._dense_weights(phase.epoch))
            case Reinitialise():
                self.network.reinitialise(phase.stream)
            case Recalibrate():
                self._recalibrate(phase)
            case Measure():
                self._measure(phase)
        return True

    def state(self, *, midway: bool) -> dict[str, Any]:
        """Everything needed to go on, as tensors and plain values; the optimiser only `midway` in a
        training."""
        paused = self._epoch.state() if self._epoch else self._paused
        return {
            "paused": paused,
            "level": self.level,
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "best_test": self.best_test,
            "started": self.started,
            "rows": self.rows,
            "curves": self.curves,
            "layers": self.layers,
            "notes": self.notes,
            "memory": self.memory,
            "network": self.network.state(midway=midway or paused is not None),
        }

    def restore(self, saved: dict[str, Any], following: Phase | None) -> None:
        """Put back what `state` returned; `following` is the phase of the next step."""
        self.level, self.epochs, self.train_seconds = (
            saved["level"],
            saved["epochs"],
            saved["train_seconds"],
        )
        self.best_test, self.started = saved["best_test"], saved["started"]
        self.rows, self.curves, self.layers = saved["rows"], saved["curves"], saved["layers"]
        self.notes, self.memory = saved["notes"], saved["memory"]
        self._epoch, self._paused = None, saved["paused"]
        self.network.restore(
            saved["network"],
            self._recipe(following) if isinstance(following, Train) else self.spec.recipe,
        )

    def _recipe(self, phase: Train) -> Recipe:
        return (
            self.spec.recipe if phase.recipe == "train" else self.spec.retrain or self.spec.recipe
        )

    def _train(self, phase: Train, epoch: int, step: int, pause: Callable[[], bool]) -> bool:
        recipe = self._recipe(phase)
        self._epoch = self._epoch or self._begin_epoch(phase, epoch)
        began = time.perf_counter()
        result = self._epoch.walk(pause)
        self.train_seconds += time.perf_counter() - began
        if result is None:
            return False
        self._epoch = None
        self.notes += self.network.doubts()
        self.epochs += 1
        where = {
            "key": self.spec.key,
            "step": step,
            "epoch": epoch,
            "phase": phase.recipe,
            "lr": result.lr,
        }
        self.curves.append({**where, "split": "train", "loss": result.loss, "top1": result.top1})
        if validation := self._evaluate("validation"):
            self.curves.append(
                {**where, "split": "validation", "loss": validation.loss, "top1": validation.top1}
            )
        if recipe.record_best_test and (test := self._evaluate("test")):
            self.best_test = max(test.top1, self.best_test or 0.0)
        if epoch + 1 == phase.end:
            self._publish(phase, phase.end)
        return True

    def _begin_epoch(self, phase: Train, epoch: int) -> Epoch:
        """An epoch at its first batch, or at the one after the pause that a checkpoint holds."""
        recipe, paused = self._recipe(phase).at(epoch), self._paused
        self._paused = None
        if epoch == phase.start and not paused:
            self.network.renew_optimizer(recipe)
            self.best_test = None
        if not paused:
            self._publish(phase, epoch)
        optimizer = self.network.follow(recipe)
        purpose = ("train", epoch) if phase.recipe == "train" else ("retrain", self.level, epoch)
        steps = self.images.batches_per_epoch(recipe.batch)
        return Epoch(
            self.network.model,
            training_batches(
                self.images.pixels,
                batch=recipe.batch,
                augment=recipe.augment,
                generator=generator(self.spec.seed, *purpose),
                skip=paused["index"] if paused else 0,
            ),
            steps=steps,
            optimizer=optimizer,
            scaler=self.network.scaler,
            held=HeldMasks(self.network.model, self.network.masks),
            learning_rate=lambda fraction: recipe.learning_rate(epoch + fraction, phase.length),
            precision=self.network.precision,
            device=self.device,
            label_smoothing=recipe.label_smoothing,
            update=self._updates(phase, epoch, steps) if phase.updates else None,
            paused=paused,
            forward=self.network.forward(recipe),
        )

    def _updates(self, phase: Train, epoch: int, steps: int) -> Callable[[int], HeldMasks | None]:
        """The callback that lets the method change masks inside this epoch."""
        sparsity = next(later.sparsity for later in self.phases if isinstance(later, Measure))
        total = (phase.end - phase.start) * steps
        every = self.method.interval(total)

        def update(index: int) -> HeldMasks | None:
            walked = (epoch - phase.start) * steps + index
            if walked % every:
                return None
            at = self._prune_input(
                sparsity, "update", walked, progress=walked / total, interval=every / total
            )
            masks = self.method.update(at)
            if masks is None:
                return None
            self.network.hold(masks)
            return HeldMasks(self.network.model, self.network.masks)

        return update

    def _prune(self, phase: Prune, *, last: bool) -> None:
        self.level = phase.level
        at = self._prune_input(phase.sparsity, "prune", phase.level, last=last)
        self.network.model.eval()
        pruned = self.method.prune(at)
        if isinstance(pruned, Smaller):
            self.network.shrink(pruned.keep)
        else:
            self.network.hold(pruned)
        self.notes += at.notes

    def _prune_input(
        self,
        sparsity: float | None,
        purpose: str,
        number: int,
        *,
        last: bool = True,
        progress: float = 0.0,
        interval: float = 0.0,
    ) -> PruneInput:
        return PruneInput(
            model=self.network.model,
            masks=self.network.masks,
            sparsity=nan if sparsity is None else sparsity,
            level=self.level,
            generator=generator(self.spec.seed, purpose, number),
            images=lambda count: self._draw(
                count, generator(self.spec.seed, "images", purpose, number)
            ),
            image=self.images.data.image,
            last=last,
            memory=self.memory,
            progress=progress,
            interval=interval,
        )

    def _recalibrate(self, phase: Recalibrate) -> None:
        # Augmented as in training: statistics of plain images cost a dense ResNet-20 2.4 points on
        # CIFAR-10.
        batches = training_batches(
            self.images.pixels,
            batch=self.spec.recipe.batch,
            augment=self.spec.recipe.augment,
            generator=generator(self.spec.seed, "recalibrate", self.level),
        )
        some = islice(batches, phase.batches)
        recalibrate(self.network.model, some, precision=self.network.precision, device=self.device)

    def _measure(self, phase: Measure) -> None:
        test = self._evaluate("test") if self.spec.test else None
        level = describe_level(phase, self.network, test, self._evaluate("validation"))
        course = {
            "best_epoch_test_top1": self.best_test,
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "notes": "; ".join(self.notes),
            "data_digest": self.images.data.digest,
            "started": self.started,
        }
        self.rows.append({**describe_trial(self.spec, self.environment), **level, **course})
        self.layers += describe_layers(self.spec.key, phase, self.network)

    # Data and weights

    def _draw(self, count: int, seeded: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` training images drawn with a generator, in batches, normalised and not augmented.
        """
        return self.images.draw(count, batch=self.spec.recipe.batch, generator=seeded)

    def _evaluate(self, split: str) -> Accuracy | None:
        batches = self.images.evaluation(split)
        return evaluate(
            self.network.model, batches, precision=self.network.precision, device=self.device
        )

    def _publish(self, phase: Train, epoch: int) -> None:
        folder = f"artifacts/{self.spec.key}"
        if epoch in phase.publish and epoch not in checkpoints.numbers(self.store, folder, "epoch"):
            checkpoints.publish(self.store, folder, "epoch", epoch, self.network.weights())

    def _dense_weights(self, epoch: int) -> dict[str, Tensor]:
        """Weights and buffers of this seed's dense training before an epoch.

        Raises:
            ParentMissing: they are not there, or damaged; what is damaged is removed, so that it is
            made anew.
        """
        folder = f"artifacts/{dense_spec(self.spec).key}"
        found = checkpoints.newest(self.store, folder, "epoch", epoch)
        if found is None:
            checkpoints.drop(self.store, folder, "epoch", epoch)
            raise ParentMissing(f"{folder} holds no valid weights of epoch {epoch}")
        return found[1]
