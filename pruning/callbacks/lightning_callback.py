"""Masks in a training by Lightning."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from pruning.callbacks.masked_training import MaskedTraining
from pruning.own_code.optimizer_hold import trains
from pruning.own_code.pruned import Pruned


class LightningMaskCallback(Callback):  # type: ignore[misc]
    """Keeps masked weights at zero through `trainer.fit`, and changes the masks of methods that do
    so while the network trains, such as `gmp` and `rigl`.

    `Trainer(callbacks=[LightningMaskCallback(pruned)])`, for a module that holds `pruned.model`,
    with any optimiser, precision and accumulation. Gradients of masked weights do not count where
    Lightning clips. Checkpoints have what a schedule needs to go on.
    """

    def __init__(self, pruned: Pruned) -> None:
        self._pruned, self._training = pruned, MaskedTraining(pruned)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps, done = trainer.estimated_stepping_batches, trainer.global_step
        self._training.begin(trainer.optimizers, steps, done=done)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trains(optimizer, self._pruned.model):
            self._training.before_step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training.end()

    def state_dict(self) -> dict[str, Any]:
        return self._training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._training.load_state_dict(state_dict)
