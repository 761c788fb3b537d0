"""One trial, walked step by step. Knows neither Ray nor studies.

A method's phases become steps: one epoch, one prune, one rewind, one measurement. Between two steps the whole state is
{weights and buffers, optimiser, masks, next step, rows so far}; random numbers come from (seed, purpose) and need no
state. So a trial that is stopped anywhere and opened again continues bit for bit.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from pruning.method import PruneInput
from pruning.phases import Measure, Phase, Prune, Recalibrate, Rewind, Train
from pruning.slim import Smaller
from trainables import record, state
from trainables.batches import training_batches
from trainables.environment import Environment
from trainables.measure import describe_layers, describe_level, describe_trial
from trainables.network import Network
from trainables.recipe import Recipe
from trainables.resident import resident
from trainables.seeds import derive, generator
from trainables.spec import TrialSpec, dense_spec, step_label
from trainables.store import Store
from trainables.training import Accuracy, HeldMasks, evaluate, recalibrate, train_epoch


class ParentMissing(RuntimeError):
    """The dense weights that a trial starts from or rewinds to are not in the study directory."""


class Trial:
    """One trial in its environment; opening it continues from the newest valid checkpoint of its key."""

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self._opened_at = time.monotonic()
        torch.set_num_threads(environment.threads)
        torch.set_flush_denormal(True)
        self.spec, self.environment = spec, environment
        self.store = Store.at(environment.store)
        self.device = torch.device(environment.device)
        self.images = resident(
            spec.dataset, environment.data_dir, environment.data_cache, spec.recipe.hold_out, environment.device
        )
        self.method = spec.build_method()
        self.phases: list[Phase] = spec.phases(self.images.data.image, self.images.data.classes)
        self.steps = [
            (index, epoch)
            for index, phase in enumerate(self.phases)
            for epoch in (range(phase.start, phase.end) if isinstance(phase, Train) else (0,))
        ]
        self.step, self.level, self.epochs, self.train_seconds, self.attempts = 0, 0, 0, 0.0, 1
        self._seconds_before = 0.0
        self.best_test: float | None = None
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.rows: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.network = Network(spec, self.images.data.image, self.images.data.classes, self.device)
        self.done = self._is_written()
        found = None if self.done else state.newest(self.store, self._checkpoints, "step")
        if self.done:
            self.rows = record.decode("rows", self.store.read(f"rows/{spec.key}.parquet")).to_pylist()
        elif found:
            self._restore(found[1])
        elif self.method.starts_from == "dense":
            self.network.load(self._dense_weights(spec.recipe.epochs))
        self.epochs_before = self.epochs
        self._saved_step = self.step
        self._saved_at = time.monotonic()

    # What is saved and found again

    @property
    def _checkpoints(self) -> str:
        return f"checkpoints/{self.spec.key}"

    def save(self) -> None:
        """Publish a checkpoint of the present step, unless it is there already; the two newest are kept."""
        if self.done or self.step in (0, self._saved_step):
            return
        phase, epoch = self._next() or (None, 0)
        saved = {
            "step": self.step,
            "level": self.level,
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "trial_seconds": self.seconds,
            "attempts": self.attempts,
            "best_test": self.best_test,
            "started": self.started,
            "rows": self.rows,
            "curves": self.curves,
            "layers": self.layers,
            "notes": self.notes,
            "network": self.network.state(midway=isinstance(phase, Train) and epoch > phase.start),
        }
        state.publish(self.store, self._checkpoints, "step", self.step, saved)
        state.keep_newest(self.store, self._checkpoints, "step", 2)
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step, self.level, self.epochs = saved["step"], saved["level"], saved["epochs"]
        self.train_seconds, self.attempts = saved["train_seconds"], saved["attempts"] + 1
        self._seconds_before = saved["trial_seconds"]
        self.best_test, self.started = saved["best_test"], saved["started"]
        self.rows, self.curves, self.layers = saved["rows"], saved["curves"], saved["layers"]
        self.notes = saved["notes"]
        phase, _ = self._next() or (None, 0)
        self.network.restore(saved["network"], self._recipe(phase) if isinstance(phase, Train) else self.spec.recipe)

    # The walk

    def _next(self) -> tuple[Phase, int] | None:
        """The phase and epoch of the next step; None after the last."""
        if self.step == len(self.steps):
            return None
        index, epoch = self.steps[self.step]
        return self.phases[index], epoch

    @property
    def seconds(self) -> float:
        """Seconds spent on this trial in workers, those of earlier attempts up to their checkpoint included."""
        return self._seconds_before + time.monotonic() - self._opened_at

    @property
    def label(self) -> str:
        """The next step in words."""
        following = self._next()
        return step_label(*following) if following else "write rows"

    def advance(self) -> None:
        """Walk one step; checkpoint after a training and when it is time; after the last step write the rows."""
        following = self._next()
        if following:
            phase, epoch = following
            torch.manual_seed(derive(self.spec.seed, "step", self.step))
            self._walk(phase, epoch)
            self.step += 1
            trained = isinstance(phase, Train) and epoch + 1 == phase.end
            if trained or time.monotonic() - self._saved_at >= self.environment.checkpoint_seconds:
                self.save()
        if self.step == len(self.steps):
            self._finish()

    def _is_written(self) -> bool:
        """Whether rows and published weights are all there, e.g. because a worker died right after writing them."""
        wanted = {epoch for phase in self.phases if isinstance(phase, Train) for epoch in phase.publish}
        return self.store.exists(f"rows/{self.spec.key}.parquet") and wanted <= state.numbers(
            self.store, f"artifacts/{self.spec.key}", "epoch"
        )

    def run(self) -> None:
        """Walk to the end."""
        while not self.done:
            self.advance()

    def _walk(self, phase: Phase, epoch: int) -> None:
        match phase:
            case Train():
                self._train(phase, epoch)
            case Prune():
                self._prune(phase)
            case Rewind():
                self.network.load(self._dense_weights(phase.epoch))
            case Recalibrate():
                count = phase.batches * self.spec.recipe.batch
                images = self._draw(count, generator(self.spec.seed, "recalibrate", self.level))
                recalibrate(self.network.model, images, precision=self.network.precision, device=self.device)
            case Measure():
                self._measure(phase)

    def _finish(self) -> None:
        """Write the rows, last of all tables because they say that the trial is done, and drop the checkpoints."""
        rows_path = f"rows/{self.spec.key}.parquet"
        if not self.store.exists(rows_path):
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            self.store.write(f"layers/{self.spec.key}.parquet", record.encode("layers", self.layers))
            self.store.write(f"curves/{self.spec.key}.parquet", record.encode("curves", self.curves))
            last = {"attempts": self.attempts, "trial_seconds": self.seconds, "finished": finished}
            rows = [{**row, **last} for row in self.rows]
            self.store.write(rows_path, record.encode("rows", rows))
        self.store.delete(self._checkpoints)
        self.done = True

    # The phases

    def _recipe(self, phase: Train) -> Recipe:
        return self.spec.recipe if phase.recipe == "train" else self.spec.retrain or self.spec.recipe

    def _train(self, phase: Train, epoch: int) -> None:
        recipe = self._recipe(phase)
        if epoch == phase.start:
            self.network.renew_optimizer(recipe)
            self.best_test = None
        self._publish(phase, epoch)
        optimizer = self.network.optimizer
        assert optimizer is not None, "a training step follows the start of its training or a checkpoint of it"
        purpose = ("train", epoch) if phase.recipe == "train" else ("retrain", self.level, epoch)
        seeded = generator(self.spec.seed, *purpose)
        steps = self.images.batches_per_epoch(recipe.batch)
        began = time.perf_counter()
        result = train_epoch(
            self.network.model,
            training_batches(self.images.pixels, batch=recipe.batch, augment=recipe.augment, generator=seeded),
            steps=steps,
            optimizer=optimizer,
            scaler=self.network.scaler,
            held=HeldMasks(self.network.model, self.network.masks),
            learning_rate=lambda fraction: recipe.learning_rate(epoch + fraction, phase.length),
            precision=self.network.precision,
            device=self.device,
            label_smoothing=recipe.label_smoothing,
            update=self._updates(phase, epoch, steps) if phase.updates else None,
        )
        self.train_seconds += time.perf_counter() - began
        self.epochs += 1
        where = {"key": self.spec.key, "step": self.step, "epoch": epoch, "phase": phase.recipe, "lr": result.lr}
        self.curves.append({**where, "split": "train", "loss": result.loss, "top1": result.top1})
        if validation := self._evaluate("validation"):
            self.curves.append({**where, "split": "validation", "loss": validation.loss, "top1": validation.top1})
        if recipe.record_best_test and (test := self._evaluate("test")):
            self.best_test = max(test.top1, self.best_test or 0.0)
        if epoch + 1 == phase.end:
            self._publish(phase, phase.end)

    def _updates(self, phase: Train, epoch: int, steps: int) -> Callable[[int], HeldMasks | None]:
        """The callback that lets the method change masks inside this epoch."""
        sparsity = next(later.sparsity for later in self.phases if isinstance(later, Measure))
        total = (phase.end - phase.start) * steps

        def update(index: int) -> HeldMasks | None:
            walked = (epoch - phase.start) * steps + index
            if walked % self.method.update_every:
                return None
            masks = self.method.update(self._prune_input(sparsity, "update", walked, progress=walked / total))
            if masks is None:
                return None
            self.network.hold(masks)
            return HeldMasks(self.network.model, self.network.masks)

        return update

    def _prune(self, phase: Prune) -> None:
        self.level = phase.level
        at = self._prune_input(phase.sparsity, "prune", phase.level)
        self.network.model.eval()
        pruned = self.method.prune(at)
        if isinstance(pruned, Smaller):
            self.network.shrink(pruned.keep)
        else:
            self.network.hold(pruned)
        self.notes += at.notes

    def _prune_input(self, sparsity: float, purpose: str, number: int, *, progress: float = 0.0) -> PruneInput:
        return PruneInput(
            model=self.network.model,
            masks=self.network.masks,
            sparsity=sparsity,
            level=self.level,
            generator=generator(self.spec.seed, purpose, number),
            images=lambda count: self._draw(count, generator(self.spec.seed, "images", purpose, number)),
            image=self.images.data.image,
            progress=progress,
        )

    def _measure(self, phase: Measure) -> None:
        test = self._evaluate("test")
        assert test is not None, "every data set has test images"
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
        """`count` training images drawn with a generator, in batches, normalised and not augmented."""
        return self.images.draw(count, batch=self.spec.recipe.batch, generator=seeded)

    def _evaluate(self, split: str) -> Accuracy | None:
        batches = self.images.evaluation(split)
        return evaluate(self.network.model, batches, precision=self.network.precision, device=self.device)

    def _publish(self, phase: Train, epoch: int) -> None:
        folder = f"artifacts/{self.spec.key}"
        if epoch in phase.publish and epoch not in state.numbers(self.store, folder, "epoch"):
            state.publish(self.store, folder, "epoch", epoch, self.network.weights())

    def _dense_weights(self, epoch: int) -> dict[str, Tensor]:
        """Weights and buffers of this seed's dense training before an epoch.

        Raises:
            ParentMissing: they are not there.
        """
        folder = f"artifacts/{dense_spec(self.spec).key}"
        found = state.newest(self.store, folder, "epoch", epoch)
        if found is None:
            raise ParentMissing(f"{folder} holds no valid weights of epoch {epoch}")
        return found[1]
