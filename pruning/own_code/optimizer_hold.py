"""Masks held through a training loop of the user's: with any optimiser, AMP and accumulated
gradients."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from pruning.held_masks import HeldMasks
from pruning.masks import Masks
from pruning.pruned_network import PrunedNetwork
from pruning.user_error import UserError


class OptimizerHold:
    """Sets masked weights to zero after every step of an optimiser, whatever momentum and weight
    decay did to them; so they are exactly zero at every forward pass.

    It follows masks that change, and a model that moves to another device. Steps that a gradient
    scaler leaves out change nothing. Leave it with `release`, or use it in a `with` block.
    """

    def __init__(self, network: PrunedNetwork, optimizer: torch.optim.Optimizer) -> None:
        """
        Raises:
            UserError: the optimiser trains another network.
        """
        if not trains(optimizer, network.model):
            raise UserError(
                "this optimiser trains another network: make it of pruned.model.parameters()"
            )
        self._network = network
        self._held: HeldMasks | None = None
        self._masks: Masks | None = None
        self._hook = optimizer.register_step_post_hook(lambda *_: self.apply())
        self.apply()

    def apply(self) -> None:
        """Set the masked weights to zero; called after every step of the optimiser."""
        self._current().apply()

    def mask_gradients(self) -> None:
        """Set the gradients of masked weights to zero, so that they do not count in the norm by
        which gradients are clipped; call it before `clip_grad_norm_`."""
        self._current().apply_to_gradients()

    def release(self) -> None:
        """Hold no more."""
        self._hook.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _current(self) -> HeldMasks:
        masks = self._network.masks
        if self._held is None or self._masks is not masks or self._held.moved():
            self._held, self._masks = HeldMasks(self._network.model, masks), masks
        return self._held


def trains(optimizer: torch.optim.Optimizer, model: nn.Module) -> bool:
    """Whether an optimiser changes any weight of a network."""
    trained = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    return any(id(parameter) in trained for parameter in model.parameters())
