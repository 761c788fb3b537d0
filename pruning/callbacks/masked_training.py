"""What the callbacks for training libraries share: masks held, or changed by the method's schedule,
from the first optimiser step of a training to its last."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from torch.optim import Optimizer

from pruning.own_code.mask_schedule import MaskSchedule
from pruning.own_code.optimizer_hold import OptimizerHold, trains
from pruning.own_code.pruned import Pruned
from pruning.user_error import UserError


class MaskedTraining:
    """One training by somebody else's loop.

    schedule: what changes the masks, if the method changes them while the network trains.
    """

    def __init__(self, pruned: Pruned) -> None:
        self.pruned = pruned
        self.schedule: MaskSchedule | None = None
        self._holds: list[OptimizerHold] = []
        self._saved: dict[str, Any] = {}

    def begin(self, optimizers: Iterable[Optimizer], steps: float, *, done: int = 0) -> None:
        """Hold the masks from here on; where a state was loaded before, the schedule goes on there.

        Args:
            optimizers: of the training; those of other networks are left alone.
            steps: optimiser steps of the whole training, infinite where nobody knows.
            done: those that were done before, by the training that this one continues.

        Raises:
            UserError: none trains the pruned network, or the schedule cannot be made for these.
        """
        own = [optimizer for optimizer in optimizers if trains(optimizer, self.pruned.model)]
        if not own:
            raise UserError(
                "no optimiser of this training has weights of pruned.model: train pruned.model, "
                "or a module that holds it"
            )
        if not self.pruned.changes_masks or self.pruned.schedule_is_done:
            self._holds = [self.pruned.hold(optimizer) for optimizer in own]
            return
        if len(own) > 1 or not isfinite(steps):
            raise UserError(
                f"'{self.pruned.method}' changes masks while the network trains: it needs one "
                "optimiser, and a training whose number of steps is known before"
            )
        if done and not self._saved:
            raise UserError(
                f"this training goes on at step {done}, but its checkpoint has no masks: was it "
                "saved with this callback?"
            )
        self.schedule = self.pruned.schedule(own[0], steps=int(steps), state=self._saved)
        self._holds = [self.schedule.hold]

    def before_step(self) -> None:
        """What comes before an optimiser step, when its gradients are there: changes of the masks;
        then the gradients of masked weights become zero."""
        if self.schedule is not None:
            self.schedule.step()
        for hold in self._holds:
            hold.mask_gradients()

    def end(self) -> None:
        """Hold no more."""
        for hold in self._holds:
            hold.release()
        self.schedule, self._holds, self._saved = None, [], {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of the training needs; empty where masks do not change."""
        return self.schedule.state_dict() if self.schedule else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` returned, before the training begins."""
        self._saved = state
