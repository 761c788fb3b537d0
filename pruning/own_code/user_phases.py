"""The phases of a method, carried out in the user's own script by the calls that a trial makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from pruning.batch_norm import recalibrate_batch_norm
from pruning.connectivity import emptied_layers
from pruning.method import Method
from pruning.method_calls import Draw, make_prune_input, prune_network
from pruning.own_code.pruned import Pruned
from pruning.own_code.random_state import seeded_apart
from pruning.own_code.user_batches import UserBatches
from pruning.own_code.user_network import UserNetwork, check_output, find_dtype
from pruning.phases import Measure, Phase, Prune, Recalibrate, Reinitialise, Rewind, Train
from pruning.real_zeros import WrongZerosError
from pruning.seeds import derive_seed
from pruning.user_error import UserError

TrainFunction = Callable[[Pruned], object]
_OF_OUTPUTS = (TypeError, AttributeError, RuntimeError)  # of a method that is given no logits
Weights = Mapping[str, Tensor]


class UserPhases:
    """Carries out the phases of a method, as far as the user's script can."""

    def __init__(
        self,
        name: str,
        method: Method,
        network: UserNetwork,
        phases: list[Phase],
        batches: UserBatches | None,
        seed: int,
        train: TrainFunction | None,
        rewind: Weights | Callable[[int], Weights] | None,
        build: Callable[[], nn.Module] | None,
    ) -> None:
        """For the arguments see `pruning.own_code.prune_call.prune`."""
        self.name, self.method, self.network, self.seed = name, method, network, seed
        self.batches, self.train, self.rewind, self.build = batches, train, rewind, build
        self.modes = {name: module.training for name, module in network.model.named_modules()}
        self.first_training = next(
            (index for index, phase in enumerate(phases) if _trains(phase)), len(phases)
        )
        self.all_phases = phases
        self.phases = phases if train else phases[: self.first_training]
        self.step = 0  # as trials count: an epoch is a step

    def draw(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Images of the user's, see `method_calls.Draw`.

        Raises:
            UserError: there are none.
        """
        return self._needed_batches().draw(count, generator)

    def _needed_batches(self) -> UserBatches:
        if self.batches is None:
            raise UserError(f"method '{self.name}' needs images: give batches=, e.g. a DataLoader")
        return self.batches

    def check(self) -> None:
        """Pass if the user gave what the phases need, and the method can prune the network.

        Raises:
            UserError: otherwise.
        """
        later = self.all_phases[self.first_training :]
        if not self.train and any(isinstance(phase, Prune) for phase in later):
            raise UserError(
                f"method '{self.name}' trains between its prunes: give train=, a function that "
                "trains pruned.model, with pruned.hold(optimizer)"
            )
        rewinds = [phase for phase in self.phases if isinstance(phase, Rewind)]
        if rewinds and self.rewind is None:
            raise UserError(
                f"method '{self.name}' goes back to the weights before epoch {rewinds[0].epoch}: "
                "give rewind=, a state dict of the network from then"
            )
        if any(isinstance(phase, Recalibrate) for phase in self.phases):
            self._needed_batches()
        if any(isinstance(phase, Reinitialise) for phase in self.phases) and self.build is None:
            self.network.build("reinit")  # raises
        self._check_obstacle()

    def _check_obstacle(self) -> None:
        draw = self.draw if self.batches else _draw_random(self.network)
        inputs = make_prune_input(
            self.network,
            None,
            seed=self.seed,
            purpose="probe",
            number=0,
            draw=lambda count, generator: draw(min(count, 2), generator),
            memory={},
        )
        with self._keeping_modes():
            try:
                reason = self.method.find_obstacle(inputs)
            except ValueError as error:
                reason = str(error)
            except _OF_OUTPUTS:
                check_output(self.network)
                raise
        if reason:
            raise UserError(f"method '{self.name}' cannot prune this network: {reason}")

    def run(self, result: Pruned) -> None:
        """Carry out the phases.

        Raises:
            UserError: see `prune`.
            WrongZerosError: the zeros of the network are not what the method promises.
        """
        for index, phase in enumerate(self.phases):
            if isinstance(phase, Train):
                if _trains(phase):
                    self._train(result, phase)
                self.step += phase.end - phase.start
                continue
            with self._apart(derive_seed(self.seed, "step", self.step)), self._keeping_modes():
                self._run_phase(result, index, phase)
            self.step += 1
        prunes = [phase for phase in self.phases if isinstance(phase, Prune)]
        with self._apart(self.seed):
            self.network.check_zeros()
            if prunes and not isinstance(self.phases[-1], Measure):
                self.network.check_promise(prunes[-1].sparsity)
        following = self.all_phases[len(self.phases) :]
        result.changes_masks = any(isinstance(p, Train) and p.updates for p in following[:1])
        self._add_notes(result, self.batches.notes if self.batches else [])
        if emptied := emptied_layers(self.network.masks):
            self._add_notes(result, [f"no weight is left in {', '.join(emptied)}"])

    def _run_phase(self, result: Pruned, index: int, phase: Phase) -> None:
        """Carry out a phase that is no training, with the calls that a trial makes."""
        network = self.network
        match phase:
            case Prune():
                later = self.all_phases[index + 1 :]
                inputs = make_prune_input(
                    network,
                    phase.sparsity,
                    seed=self.seed,
                    purpose="prune",
                    number=phase.level,
                    draw=self.draw,
                    memory=result.memory,
                    level=phase.level,
                    last=not any(isinstance(other, Prune) for other in later),
                )
                try:
                    prune_network(network, self.method, inputs)
                except UserError:
                    raise
                except ValueError as error:
                    raise UserError(f"method '{self.name}': {error}") from error
                except _OF_OUTPUTS:
                    check_output(network)
                    raise
                self._add_notes(result, inputs.notes)
            case Rewind():
                assert self.rewind is not None, "checked before the first phase"
                weights = self.rewind(phase.epoch) if callable(self.rewind) else self.rewind
                network.load_weights(weights)
            case Reinitialise():
                self._add_notes(result, network.reinitialise(phase.stream))
            case Recalibrate():
                self._recalibrate(phase)
            case Measure():
                network.check_zeros()
                network.check_promise(phase.sparsity)

    def _recalibrate(self, phase: Recalibrate) -> None:
        batches = self._needed_batches().read(derive_seed(self.seed, "recalibrate"))
        try:
            recalibrate_batch_norm(self.network.model, islice(batches, phase.batches))
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"batch-norm cannot be estimated anew from these batches: {error}; leave out those "
                "of one image, e.g. by drop_last=True"
            ) from error

    def _train(self, result: Pruned, phase: Train) -> None:
        """Let the user train the network, and see whether its masks held."""
        assert self.train is not None, "without it the phases end before the first training"
        result.begin_training(phase)
        self.train(result)
        if phase.updates and not result.schedule_is_done:
            raise UserError(
                f"'{self.name}' changes masks while the network trains: train must take "
                "pruned.schedule(optimizer, steps=...) and call its step() as often"
            )
        result.training = None
        try:
            with self._apart(self.seed):
                self.network.check_zeros()
        except WrongZerosError as error:
            raise UserError(f"after train: {error}; call pruned.hold(optimizer) in it") from None

    @contextmanager
    def _apart(self, seed: int) -> Iterator[None]:
        """Random numbers of their own, and gradients whatever the script has set."""
        with seeded_apart(self.network.device, seed), torch.enable_grad():
            yield

    @contextmanager
    def _keeping_modes(self) -> Iterator[None]:
        """Eval mode; afterwards each module is in the mode of the model that was given, also in the
        smaller network."""
        self.network.model.eval()
        try:
            yield
        finally:
            for name, module in self.network.model.named_modules():
                module.training = self.modes.get(name, module.training)

    def _add_notes(self, result: Pruned, notes: Iterable[str]) -> None:
        result.notes += [note for note in dict.fromkeys(notes) if note not in result.notes]


def _trains(phase: Phase) -> bool:
    return isinstance(phase, Train) and phase.start < phase.end


def _draw_random(network: UserNetwork) -> Draw:
    """Random images, all of the first class, for a look at what the network does with any."""

    def draw(count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        x = torch.randn(count, *network.image, generator=generator)
        y = torch.zeros(count, dtype=torch.int64, device=network.device)
        yield x.to(network.device, find_dtype(network.model)), y

    return draw
