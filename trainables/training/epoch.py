"""One epoch of training: the loop over its batches, the training loss and the optimiser step.

`Epoch._step` is one batch, `Epoch._optimise` the optimiser step after one or, with accumulated
gradients, several of them; the learning rate is that of `learning_rate.py`. Written for speed
without changing the science: convolutions run channels_last, in bf16 where the hardware has it, and
sums stay on the device until the epoch ends, so that nothing waits inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.held_masks import HeldMasks
from trainables.data.batches import DrawnBatch
from trainables.training.batch_counters import BatchCounters
from trainables.training.logits import main_logits
from trainables.training.mixing import main_labels
from trainables.training.optimizer import set_rate
from trainables.training.precision import Precision, autocast

if TYPE_CHECKING:
    from trainables.training.weight_average import WeightAverage


@dataclass(frozen=True)
class EpochResult:
    """Mean training loss (nats per image), training top-1 (percent), the learning rate of the last
    step, and the number of images trained on."""

    loss: float
    top1: float
    lr: float
    images: int


class Replay(Protocol):
    """What may do a step in place of the epoch: see `step_graph.py`."""

    def run(self, epoch: Epoch, batch: DrawnBatch) -> bool:
        """Do the next step; returns whether it is done."""


class Epoch:
    """One epoch of training in place, which may pause between two batches and continue, also in
    another process.

    The random numbers drawn inside it (dropout) come from torch's global generators: seed them
    before an epoch begins.

    Args:
        batches: (x float [B, C, H, W], y int64 [B]) on the device, beginning with the next one; y
            may be float [B, classes], the shares of the classes, of which the largest is the one
            that the accuracy counts. Or such batches drawn and not gathered.
        steps: number of batches in the whole epoch.
        learning_rate, momentum: of an optimiser step, at a fraction 0..1 of this epoch; a momentum
            of None stays as it is.
        accumulate: batches in an optimiser step; the last one of the epoch may have fewer. Its
            gradient is the mean over all their images.
        batch, images: of a full batch and of the whole epoch; not used where `accumulate` is 1.
        clip: largest norm of the gradient of all kept weights.
        average: what takes in the weights after each optimiser step, by `decay` in 0..1.
        update: called with the optimiser step's index before it, when the gradients are there; may
            return new masks that hold from then on.
        updates: whether `update` has something to do at an optimiser step of that index.
        stepped: called after each optimiser step.
        paused: what `state` returned, to continue from there.
        forward: the model's forward pass, if not the model itself.
        graph: what replays steps where it can; it outlives the epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor] | DrawnBatch],
        *,
        steps: int,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        held: HeldMasks,
        learning_rate: Callable[[float], float],
        precision: Precision,
        device: torch.device,
        label_smoothing: float = 0.0,
        momentum: Callable[[float], float | None] | None = None,
        accumulate: int = 1,
        batch: int = 0,
        images: int = 0,
        clip: float | None = None,
        average: WeightAverage | None = None,
        decay: float | None = None,
        update: Callable[[int], HeldMasks | None] | None = None,
        updates: Callable[[int], bool] = lambda step: True,
        stepped: Callable[[], None] | None = None,
        paused: Mapping[str, Any] | None = None,
        forward: Callable[[Tensor], Any] | None = None,
        graph: Replay | None = None,
    ) -> None:
        self.forward = forward or model
        self.model, self.steps, self.optimizer, self.scaler = model, steps, optimizer, scaler
        self.held, self.learning_rate = held, learning_rate
        self.update, self.updates, self.graph = update, updates, graph
        self.average = average if decay is not None else None
        self.decay = decay or 0.0
        # A compiled network would not find the counters on its device.
        self._counters = BatchCounters(nn.Identity() if forward not in (None, model) else model)
        self.momentum, self.clip, self.stepped = momentum, clip, stepped
        self.accumulate, self.batch, self.images = accumulate, batch, images
        self.optimizer_steps = ceil(steps / accumulate)
        self.precision, self.device, self.label_smoothing = precision, device, label_smoothing
        self._batches = iter(batches)
        self.index, self._seen, self._random = 0, 0, None
        self._loss_sum = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device, dtype=torch.int64)
        if paused:
            self.index, self._seen, self._random = paused["index"], paused["seen"], paused["random"]
            self._loss_sum = paused["loss_sum"].to(device)
            self._correct = paused["correct"].to(device)
            self._set_gradients(paused.get("gradients", []))

    def state(self) -> dict[str, Any]:
        """Where a pause left the epoch, with the gradients so far where it is within an optimiser
        step; weights, masks and optimiser are saved by their owner."""
        state = {
            "index": self.index,
            "seen": self._seen,
            "loss_sum": self._loss_sum,
            "correct": self._correct,
            "random": self._random,
        }
        if self.index % self.accumulate and self.index < self.steps:
            state["gradients"] = [parameter.grad for parameter in self.model.parameters()]
        return state

    def _set_gradients(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=False):
            parameter.grad = None if gradient is None else gradient.to(self.device)

    def train(self, pause: Callable[[], bool]) -> EpochResult | None:
        """Train until the epoch ends or, after at least one batch, `pause` returns True.

        Returns:
            The result at the end of the epoch; None where it paused.

        Raises:
            FloatingPointError: the loss is not finite at the end of the epoch.
        """
        self.model.train()
        if self._random:
            _set_random_state(self._random, self.device)
        for batch in self._batches:
            if not (self.graph and isinstance(batch, DrawnBatch) and self.graph.run(self, batch)):
                self._step(*(batch.gather() if isinstance(batch, DrawnBatch) else batch))
            if self.index < self.steps and pause():
                self._random = _random_state(self.device)
                return None
        mean_loss = float(self._loss_sum) / max(1, self._seen)
        if not isfinite(mean_loss):
            raise FloatingPointError(
                f"the training loss is {mean_loss}; try a smaller lr or precision: fp32"
            )
        rate = self.learning_rate((self.optimizer_steps - 1) / self.optimizer_steps)
        top1 = 100 * int(self._correct) / max(1, self._seen)
        return EpochResult(mean_loss, top1, rate, self._seen)

    def _step(self, x: Tensor, y: Tensor) -> None:
        """One batch: forward, loss, backward, and the optimiser step that it completes."""
        step, position = divmod(self.index, self.accumulate)
        share = 1.0 if self.accumulate == 1 else len(y) / self._images_of_step(step)
        loss, logits = self._differentiate(x, y, begins=position == 0, share=share)
        if position + 1 == self.accumulate or self.index + 1 == self.steps:
            self._optimise(step)
        self._add_up(loss, logits, y)
        self._seen += len(y)
        self.index += 1

    def step_on_device(
        self, x: Tensor, y: Tensor, forward: Callable[[Tensor], Any] | None = None
    ) -> None:
        """What a step does on the device, where a batch is a step and no masks change in it; the
        host decides nothing in here, so that a graph can hold it.

        Args:
            forward: another way to the same logits.
        """
        loss, logits = self._differentiate(x, y, forward=forward)
        self._change_weights()
        self._add_up(loss, logits, y)

    def step_on_host(self, run: Callable[[], None], images: int) -> None:
        """A step of which `run` does what happens on the device."""
        self._set_rate(self.index)
        run()
        if self.stepped:
            self.stepped()
        self._seen += images
        self.index += 1

    @property
    def sums(self) -> tuple[Tensor, Tensor]:
        """The sum of the losses so far (nats), and the images so far that were classified right."""
        return self._loss_sum, self._correct

    def add_up_in(self, loss_sum: Tensor, correct: Tensor) -> None:
        """From here on add up in these tensors."""
        if self._loss_sum is not loss_sum:
            loss_sum.copy_(self._loss_sum)
            correct.copy_(self._correct)
        self._loss_sum, self._correct = loss_sum, correct

    def _differentiate(
        self,
        x: Tensor,
        y: Tensor,
        *,
        begins: bool = True,
        share: float = 1.0,
        forward: Callable[[Tensor], Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Forward and backward pass of a batch; returns its mean loss and its logits.

        Args:
            begins: whether it is the first batch of an optimiser step.
            share: the part of the step's images that are in the batch, 0..1.
        """
        with autocast(self.precision, self.device), self._counters.count():
            logits = main_logits((forward or self.forward)(x))
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=self.label_smoothing)
        if begins:
            self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss if share == 1 else loss * share).backward()
        return loss.detach(), logits.detach()

    @torch.no_grad()
    def _add_up(self, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        """Add the loss and the right answers of a batch to those of the epoch."""
        self._loss_sum += loss * len(y)
        self._correct += (logits.argmax(1) == main_labels(y)).sum()

    def _images_of_step(self, step: int) -> int:
        """Images in the batches of an optimiser step; the last one has all that are left."""
        whole = self.accumulate * self.batch
        return whole if step + 1 < self.optimizer_steps else self.images - step * whole

    def _set_rate(self, step: int) -> None:
        """Set the learning rate and the momentum of an optimiser step."""
        at = step / self.optimizer_steps
        momentum = self.momentum(at) if self.momentum else None
        set_rate(self.optimizer, self.learning_rate(at), momentum)

    def _optimise(self, step: int) -> None:
        """One optimiser step with the gradients that are there: mask update, clipping, weights."""
        self._set_rate(step)
        self.held = (self.update(step) if self.update else None) or self.held
        self._change_weights()
        if self.stepped:
            self.stepped()

    def _change_weights(self) -> None:
        """Clip the gradients, change the weights by them and hold the masks."""
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            self.held.apply_to_gradients()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.held.apply()
        if self.average:
            self.average.update(self.decay)


def _random_state(device: torch.device) -> list[Tensor]:
    """The state of torch's global generators that a forward pass on this device draws from: of the
    CPU's, and of the GPU's where it is one."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    """Put back what `_random_state` returned, also on another kind of device: a GPU's generator of
    which nothing was saved is seeded from the state of the CPU's."""
    host, *on_device = states
    torch.set_rng_state(host)
    if device.type != "cuda":
        return
    if on_device:
        torch.cuda.set_rng_state(on_device[0], device)
    else:
        copy = torch.Generator()
        copy.set_state(host)
        with torch.cuda.device(device):
            torch.cuda.manual_seed(int(torch.randint(2**62, (), generator=copy)))
