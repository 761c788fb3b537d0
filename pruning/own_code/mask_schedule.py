"""Methods that change masks while the network trains, in a training loop of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pruning.masks import prunable
from pruning.method import Method, PruneInput
from pruning.method_calls import Draw, MaskUpdates, make_prune_input
from pruning.own_code.optimizer_hold import OptimizerHold
from pruning.own_code.user_network import UserNetwork
from pruning.user_error import UserError


class MaskSchedule:
    """Changes the masks in a training of a given number of optimiser steps, and holds them.

    steps: optimiser steps of the training. done: how often `step` was called. hold: what keeps
    masked weights at zero.
    """

    def __init__(
        self,
        network: UserNetwork,
        method: Method,
        optimizer: torch.optim.Optimizer,
        *,
        sparsity: float | None,
        steps: int,
        seed: int,
        draw: Draw,
        memory: dict[str, Tensor],
        notes: list[str],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            state: of a training that is continued, see `state_dict`.

        Raises:
            UserError: `steps` is no training, or the optimiser trains another network.
        """
        if steps < 1:
            raise UserError(f"steps must be at least 1 (optimiser steps), but got {steps}")
        self.steps, self.done = steps, 0
        self._network, self._memory, self._draw = network, memory, draw
        if state:
            self._take(state)
        self.hold = OptimizerHold(network, optimizer)

        def make_input(step: int, **place: float) -> PruneInput:
            return make_prune_input(
                network,
                sparsity,
                seed=seed,
                purpose="update",
                number=step,
                draw=self._draw_here,
                memory=memory,
                **place,  # type: ignore[arg-type]
            )

        self._updates = MaskUpdates(
            method,
            steps,
            make_input=make_input,
            set_masks=lambda masks: network.set_masks(masks, optimizer),
            add_notes=lambda more: notes.extend(note for note in more if note not in notes),
        )

    def step(self) -> bool:
        """What comes before an optimiser step, when its gradients are there; returns whether the
        masks changed. After `steps` calls nothing changes any more.

        Raises:
            UserError: there are no gradients.
        """
        if self.done >= self.steps:
            return False
        self._network.follow()
        weights = prunable(self._network.model, only=self._network.masks).values()
        if all(weight.grad is None for weight in weights):
            raise UserError(
                "call schedule.step() after backward() and before optimizer.step() and "
                "zero_grad(): there are no gradients"
            )
        changed = self._updates.update(self.done)
        self.done += 1
        return changed

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of the training needs beside model and optimiser."""
        return {
            "done": self.done,
            "masks": dict(self._network.masks),
            "memory": dict(self._memory),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned; model and optimiser were loaded before, and after
        this schedule was made: making one without a state applies the masks of the pruning."""
        self._take(state)
        self.hold.apply()

    def _take(self, state: Mapping[str, Any]) -> None:
        self._network.follow()
        self.done = state["done"]
        self._network.set_masks(state["masks"])
        self._memory.clear()
        self._memory.update(state["memory"])

    def _draw_here(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Images of the user's on the device where the network is now."""
        for x, y in self._draw(count, generator):
            yield x.to(self._network.device), y.to(self._network.device)
