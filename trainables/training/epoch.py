"""One epoch of training and one evaluation, written for speed without changing the science.

Data are resident uint8 tensors and are augmented a batch at a time; convolutions run channels_last,
in bf16 where the hardware has it; sums stay on the device until the epoch ends, so that nothing
waits inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.masks import Masks, prunable

if TYPE_CHECKING:
    from trainables.training.recipe import Recipe

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(asked: str, model: nn.Module, device: torch.device) -> Precision:
    """The precision a trial trains in; "auto" decides by the network and the hardware, never by a
    clock.

    Convolutional networks: bf16 on GPUs from Ampere on and on CPUs with AMX or AVX512-BF16, fp16
    with a gradient scaler on older GPUs. Networks without convolutions gain nothing (0.81x
    measured) and stay in fp32.
    """
    if asked != "auto":
        return asked  # type: ignore[return-value]
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context in which a forward pass runs at a precision."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """A fresh optimiser for all parameters of the model."""
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                model.parameters(),
                lr=recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        case "adam":
            return torch.optim.Adam(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "adamw":
            return torch.optim.AdamW(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )


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
    """Mean training loss (nats per image), training top-1 (percent) and the learning rate of the
    last step."""

    loss: float
    top1: float
    lr: float


class Epoch:
    """One epoch of training in place, which may pause between two batches and go on, also in
    another process.

    The random numbers drawn inside it (dropout) come from torch's global generators: seed them
    before an epoch begins.

    Args:
        batches: (x float [B, C, H, W], y int64 [B]) on the device, from the batch on that comes
            next.
        steps: number of batches in the whole epoch.
        learning_rate: rate at a fraction 0..1 of this epoch.
        update: called with the step's index after the backward pass; may return new masks to hold
            from here on.
        paused: what `state` returned, to go on from there.
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
        forward: Callable[[Tensor], Tensor] | None = None,
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
            self._loss_sum, self._correct = (
                paused["loss_sum"].to(device),
                paused["correct"].to(device),
            )

    def state(self) -> dict[str, Any]:
        """Where a pause left it; weights, masks and optimiser are saved by their owner."""
        return {
            "index": self.index,
            "seen": self._seen,
            "loss_sum": self._loss_sum,
            "correct": self._correct,
            "random": self._random,
        }

    def walk(self, pause: Callable[[], bool]) -> EpochResult | None:
        """Train until the epoch ends or, after at least one batch, `pause` says so; the result at
        the end, else None.

        Raises:
            FloatingPointError: the loss is not finite at the end of the epoch.
        """
        self.model.train()
        if self._random:
            _set_random(self._random, self.device)
        for x, y in self._batches:
            self._step(x, y)
            if self.index < self.steps and pause():
                self._random = _random(self.device)
                return None
        mean_loss = float(self._loss_sum) / max(1, self._seen)
        if not isfinite(mean_loss):
            raise FloatingPointError(
                f"the training loss is {mean_loss}; try a smaller lr or precision: fp32"
            )
        rate = self.learning_rate((self.steps - 1) / self.steps)
        return EpochResult(mean_loss, 100 * int(self._correct) / max(1, self._seen), rate)

    def _step(self, x: Tensor, y: Tensor) -> None:
        rate = self.learning_rate(self.index / self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(self.precision, self.device):
            logits = self.forward(x)
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


def _random(device: torch.device) -> list[Tensor]:
    """The state of torch's global generators that a forward pass on this device draws from."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_random(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 in percent and the mean cross-entropy in nats per image."""

    top1: float
    top5: float
    loss: float


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    precision: Precision,
    device: torch.device,
) -> Accuracy | None:
    """Accuracy of the model in eval mode; None where there are no images."""
    model.eval()
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    seen = 0
    for x, y in batches:
        with autocast(precision, device):
            logits = model(x)
        logits = logits.float()
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == y[:, None]
        loss = functional.cross_entropy(logits, y, reduction="sum")
        totals += torch.stack([ranked[:, 0].sum(), ranked.sum(), loss]).double()
        seen += len(y)
    if not seen:
        return None
    top1, top5, loss = (totals / seen).tolist()
    return Accuracy(100 * top1, 100 * top5, loss)


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    precision: Precision,
    device: torch.device,
) -> None:
    """Estimate all batch-norm statistics anew as plain averages over the batches; weights are
    untouched."""
    norms = [
        module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.eval()
    for norm in norms:
        norm.train()
    for x, _ in batches:
        with autocast(precision, device):
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
