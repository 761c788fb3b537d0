"""One epoch of training: the loop over its batches, the training loss and the optimiser step.

`Epoch._step` is where gradient accumulation or gradient clipping would go; the learning rate is
that of `learning_rate.py`. Written for speed without changing the science: convolutions run
channels_last, in bf16 where the hardware has it, and sums stay on the device until the epoch ends,
so that nothing waits inside it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.masks import Masks, prunable
from trainables.training.logits import main_logits
from trainables.training.precision import Precision, autocast


class HeldMasks:
    """Masks held on the weights through training: one fused multiplication after every optimiser
    step."""

    def __init__(self, model: nn.Module, masks: Masks) -> None:
        weights = prunable(model)
        names = [name for name, mask in masks.items() if not bool(mask.all())]
        self.weights = [weights[name].data for name in names]
        self.factors = [torch.empty_like(weights[name]).copy_(masks[name]) for name in names]

    @torch.no_grad()
    def apply(self) -> None:
        """Set the masked weights to zero."""
        if self.weights:
            torch._foreach_mul_(self.weights, self.factors)


@dataclass(frozen=True)
class EpochResult:
    """Mean training loss (nats per image), training top-1 (percent), the learning rate of the last
    step, and the number of images trained on."""

    loss: float
    top1: float
    lr: float
    images: int


class Epoch:
    """One epoch of training in place, which may pause between two batches and continue, also in
    another process.

    The random numbers drawn inside it (dropout) come from torch's global generators: seed them
    before an epoch begins.

    Args:
        batches: (x float [B, C, H, W], y int64 [B]) on the device, beginning with the next one.
        steps: number of batches in the whole epoch.
        learning_rate: rate at a fraction 0..1 of this epoch.
        update: called with the step's index after the backward pass; may return new masks that
            hold from then on.
        paused: what `state` returned, to continue from there.
        forward: the model's forward pass, if not the model itself.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        steps: int,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        held: HeldMasks,
        learning_rate: Callable[[float], float],
        precision: Precision,
        device: torch.device,
        label_smoothing: float = 0.0,
        update: Callable[[int], HeldMasks | None] | None = None,
        paused: Mapping[str, Any] | None = None,
        forward: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self.forward = forward or model
        self.model, self.steps, self.optimizer, self.scaler = model, steps, optimizer, scaler
        self.held, self.learning_rate, self.update = held, learning_rate, update
        self.precision, self.device, self.label_smoothing = precision, device, label_smoothing
        self._batches = iter(batches)
        self.index, self._seen, self._random = 0, 0, None
        self._loss_sum = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device, dtype=torch.int64)
        if paused:
            self.index, self._seen, self._random = paused["index"], paused["seen"], paused["random"]
            self._loss_sum = paused["loss_sum"].to(device)
            self._correct = paused["correct"].to(device)

    def state(self) -> dict[str, Any]:
        """Where a pause left the epoch; weights, masks and optimiser are saved by their owner."""
        return {
            "index": self.index,
            "seen": self._seen,
            "loss_sum": self._loss_sum,
            "correct": self._correct,
            "random": self._random,
        }

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
        for x, y in self._batches:
            self._step(x, y)
            if self.index < self.steps and pause():
                self._random = _random_state(self.device)
                return None
        mean_loss = float(self._loss_sum) / max(1, self._seen)
        if not isfinite(mean_loss):
            raise FloatingPointError(
                f"the training loss is {mean_loss}; try a smaller lr or precision: fp32"
            )
        rate = self.learning_rate((self.steps - 1) / self.steps)
        top1 = 100 * int(self._correct) / max(1, self._seen)
        return EpochResult(mean_loss, top1, rate, self._seen)

    def _step(self, x: Tensor, y: Tensor) -> None:
        """One optimiser step on one batch: forward, loss, backward, mask update, weights."""
        rate = self.learning_rate(self.index / self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(self.precision, self.device):
            logits = main_logits(self.forward(x))
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.held = (self.update(self.index) if self.update else None) or self.held
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.held.apply()
        with torch.no_grad():
            self._loss_sum += loss.detach() * len(y)
            self._correct += (logits.argmax(1) == y).sum()
        self._seen += len(y)
        self.index += 1


def _random_state(device: torch.device) -> list[Tensor]:
    """The state of torch's global generators that a forward pass on this device draws from."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    """Put back what `_random_state` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
