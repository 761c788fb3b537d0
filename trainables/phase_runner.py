"""Runs the phases of a trial: what each does to the network, and what is measured on the way."""

from collections.abc import Callable
from itertools import islice

import torch

from pruning.filters import FilterMethod
from pruning.method_calls import prune_network
from pruning.phases import Measure, Phase, Prune, Recalibrate, Reinitialise, Rewind, Train
from pruning.seeds import make_generator
from trainables.checkpoint_format import RunnerState
from trainables.data.augment_names import check_own_functions
from trainables.data.loader import make_loader
from trainables.data.loader_interface import Loader
from trainables.dense_weights import read_dense_weights
from trainables.early_stop import describe_early_stop
from trainables.environment import Environment
from trainables.epoch_runner import EpochRunner
from trainables.measured_row import (
    check_zeros,
    describe_layers,
    describe_level,
    describe_trial,
)
from trainables.network import Network
from trainables.prune_inputs import PruneInputs
from trainables.storage.reading_store import open_store
from trainables.training.compile import count_trained_networks
from trainables.training.ranks import ONE_RANK, Ranks
from trainables.training.step_graph import make_step_graph
from trainables.training.study_precision import agree_on_precision
from trainables.trial_records import TrialRecords
from trainables.trial_spec import TrialSpec, check_norm_parts, epochs_of
from trainables.weights.given_weights import read_given_weights


class PhaseRunner:
    """The network of a trial and its records, changed by one phase after the other."""

    def __init__(self, spec: TrialSpec, environment: Environment, ranks: Ranks = ONE_RANK) -> None:
        self.spec, self.environment, self.ranks = spec, environment, ranks
        self.store = open_store(environment.store, writes=ranks.is_first)
        check_own_functions(spec.augment_sources)
        self.loader: Loader = make_loader(
            spec.dataset,
            environment.data_dir,
            environment.data_cache,
            hold_out=spec.recipe.hold_out,
            test=spec.test,
            device=environment.device,
            image_size=spec.image_size,
            images=environment.images,
            workers=environment.loader_workers,
            normalise=spec.normalise,
            sharing=environment.sharing,
            augments=spec.augments,
        )
        image, classes = self.loader.data.image, self.loader.data.classes
        check_norm_parts(spec, ranks.count)
        self.method = spec.build_method()
        self.phases: list[Phase] = spec.phases(image, classes)
        steps = epochs_of(self.phases) * self.loader.batches_per_epoch(spec.recipe.batch)
        steps //= count_trained_networks(self.phases, smaller=isinstance(self.method, FilterMethod))
        given = read_given_weights(self.store, spec.weights) if spec.weights else None
        device = torch.device(environment.device)
        self.network = Network(spec, image, classes, device, steps=steps, given=given, ranks=ranks)
        precision = self.network.precision
        if spec.recipe.precision == "auto":
            precision = agree_on_precision(self.store, spec.model, precision, device)
        self.network.train_in(precision)
        self.records = TrialRecords()
        self._prune_inputs = PruneInputs(spec, self.loader, self.network, self.records)
        self._own_images = self.loader.of_part(ranks.part)
        self._epochs = EpochRunner(
            spec,
            self.store,
            self._own_images,
            self.method,
            self.phases,
            self.network,
            self.records,
            self._prune_inputs,
            make_step_graph(self.network.device) if environment.step_graphs else None,
        )

    @property
    def in_epoch(self) -> bool:
        """Whether the next step has begun: an epoch that paused between two batches."""
        return self._epochs.in_progress

    @property
    def batches(self) -> int:
        """Batches trained of the epoch in progress; 0 where there is none."""
        return self._epochs.batches

    def begin(self) -> None:
        """Load the weights that the method starts from, and store them for other trials where a
        training has no epochs.

        Raises:
            DenseWeightsMissing: it starts from the dense network, which is not there.
        """
        if self.method.starts_from == "dense":
            epochs = self.spec.recipe.epochs
            self.network.load_weights(read_dense_weights(self.store, self.spec, epochs))
        for phase in self.phases:
            if isinstance(phase, Train) and phase.start == phase.end:
                self._epochs.store_weights(phase, phase.end)

    def run_step(self, index: int, epoch: int, step: int, pause: Callable[[], bool]) -> bool:
        """Run one step: phase number `index`, and of a Train phase the given epoch; `step` is its
        number in the trial.

        Args:
            pause: called after every batch; where it returns True, an epoch stops there, and the
                same call later continues it.

        Returns:
            Whether the step is finished.
        """
        phase = self.phases[index]
        if not isinstance(phase, Train | Measure):
            self.records.early_stop = None  # the network is no longer that of the last training
        match phase:
            case Train():
                return self._epochs.run(index, epoch, step, pause)
            case Prune():
                later = self.phases[index + 1 :]
                self._prune(phase, last=not any(isinstance(other, Prune) for other in later))
            case Rewind():
                self.network.load_weights(read_dense_weights(self.store, self.spec, phase.epoch))
            case Reinitialise():
                self.records.add_notes(self.network.reinitialise(phase.stream))
            case Recalibrate():
                self._recalibrate(phase)
            case Measure():
                self._measure(phase)
        return True

    def state(self, *, midway: bool) -> RunnerState:
        """Everything needed to continue, as tensors and plain values.

        Args:
            midway: whether a training has begun and is not finished: then the optimiser belongs to
                the state.
        """
        paused = self._epochs.state()
        return {
            **self.records.state(),
            "paused": paused,
            "network": self.network.state(midway=midway or paused is not None),
        }

    def restore(self, saved: RunnerState, following: Phase | None) -> None:
        """Put back what `state` returned; `following` is the phase of the next step."""
        self.records.restore(saved)
        self._epochs.restore(saved["paused"])
        recipe = self.spec.recipe
        if isinstance(following, Train):
            recipe = self._epochs.recipe_of(following)
        self.network.restore(saved["network"], recipe)

    def _prune(self, phase: Prune, *, last: bool) -> None:
        self.records.level = phase.level
        inputs = self._prune_inputs.make(phase.sparsity, "prune", phase.level, last=last)
        prune_network(self.network, self.method, inputs)
        self.records.add_notes(inputs.notes)

    def _recalibrate(self, phase: Recalibrate) -> None:
        # Augmented as in training: statistics of plain images cost a dense ResNet-20 2.4 points on
        # CIFAR-10.
        batches = self.loader.training_batches(
            batch=self.spec.recipe.batch,
            augment=self.spec.recipe.augment,
            generator=make_generator(self.spec.seed, "recalibrate", self.records.level),
        )
        self.network.recalibrate(islice(batches, phase.batches))

    def _measure(self, phase: Measure) -> None:
        """Evaluate the network and record the row and the layers of a level."""
        evaluation, records = self._own_images.evaluation_batches, self.records
        zeros, selected = check_zeros(phase, self.network), self.network.selection.notes
        test = self.network.evaluate(evaluation("test")) if self.spec.test else None
        validation = self.network.evaluate(evaluation("validation"))
        records.rows.append(
            {
                **describe_trial(self.spec, self.environment),
                **describe_level(phase, self.network, zeros, test, validation),
                "best_epoch_test_top1": records.best_test,
                **describe_early_stop(self.network, self._own_images, records, test=self.spec.test),
                "epochs": records.epochs,
                "train_seconds": records.train_seconds,
                "train_macs": None if records.train_macs is None else float(records.train_macs),
                "notes": "; ".join(
                    [*selected, *records.notes, *zeros.notes, *self.network.evaluation_batch.notes]
                ),
                "data_digest": self.loader.data.digest,
                "images": self.loader.placement,
                "started": records.started,
            }
        )
        self.ranks.check_equal("the weights and masks (digest)", records.rows[-1]["digest"])
        records.layers += describe_layers(self.spec.key, phase, self.network)
