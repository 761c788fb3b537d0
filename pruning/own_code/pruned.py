"""What `pruning.prune` returns: the pruned network, what was measured of it, and what to do with
it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning import cost
from pruning.masks import prunable
from pruning.method_calls import Draw
from pruning.onnx_file import write_onnx
from pruning.own_code.mask_schedule import MaskSchedule
from pruning.own_code.optimizer_hold import OptimizerHold
from pruning.own_code.pruned_file import write_pruned_file
from pruning.own_code.user_network import UserNetwork
from pruning.packed_weights import pack_weights
from pruning.phases import Train
from pruning.structured.keep_plan import join_plans
from pruning.user_error import UserError


class Pruned:
    """A pruned network of the user's.

    method, knobs: what pruned it. requested: the sparsity that was asked for; None where the
    method's own rule decides. macs_before: multiply-accumulates of one image before pruning. notes:
    sentences on what was unusual. training: within `train`, the training that is to be done: which
    recipe, from which epoch to which.
    """

    def __init__(
        self,
        network: UserNetwork,
        *,
        method: str,
        knobs: Mapping[str, Any],
        requested: float | None,
        macs_before: int,
        seed: int,
        draw: Draw,
        changes_masks: bool = False,
    ) -> None:
        self.method, self.knobs, self.requested = method, dict(knobs), requested
        self.macs_before, self.notes = macs_before, list(network.selection.notes)
        self.training: Train | None = None
        self.changes_masks = changes_masks
        self.memory: dict[str, Tensor] = {}
        self._given, self._seed, self._draw = network, seed, draw
        self._schedule: MaskSchedule | None = None

    @property
    def _network(self) -> UserNetwork:
        """The network, with its masks where its weights are now."""
        self._given.follow()
        return self._given

    @property
    def model(self) -> nn.Module:
        """The pruned network, as large as it is now; a plain module."""
        return self._network.model

    @property
    def image(self) -> tuple[int, int, int]:
        """(channels, height, width) of an input."""
        return self._network.image

    @property
    def masks(self) -> dict[str, Tensor]:
        """Masks by name of the weight, bool, True where kept, of the weights that are pruned."""
        return dict(self._network.masks)

    @property
    def sparsity(self) -> float:
        """The fraction of the prunable weights that are gone: masked and zero in the model as it is
        now, or removed with their channels."""
        dense = self._network.dense_prunable
        left, weights = dense, prunable(self.model, only=self._network.masks)
        masks = self._network.masks.items()
        left = sum(mask.numel() - int(((weights[n] == 0) & ~mask).sum()) for n, mask in masks)
        return 1 - left / dense if dense else 0.0

    @property
    def prunable_weights(self) -> int:
        """How many weights there were to prune, before pruning."""
        return self._network.dense_prunable

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image through the network as large as it is now; masked
        weights count in full, as dense kernels compute them."""
        return self._network.count_macs()

    @property
    def effective_macs(self) -> float:
        """Multiply-accumulates of one image, each layer's multiplied by its density: what a kernel
        that skips every zero would compute."""
        return cost.effective_macs(cost.layer_costs(self.model, self.image), self._network.masks)

    @property
    def kept_channels(self) -> dict[str, Tensor]:
        """Indices of the channels that stayed, by group, of the groups that were cut."""
        return join_plans(self._network.keep_plans)

    def hold(self, optimizer: torch.optim.Optimizer) -> OptimizerHold:
        """Keep masked weights at zero through a training loop: after every step of this optimiser
        they are set to zero again.

        Raises:
            UserError: the optimiser trains another network; or the method changes masks while it
                trains, which takes a `schedule`.
        """
        if self.changes_masks and self._schedule is None:
            raise UserError(
                f"'{self.method}' changes masks while the network trains: take "
                "pruned.schedule(optimizer, steps=...) in place of pruned.hold(optimizer)"
            )
        return OptimizerHold(self._network, optimizer)

    def schedule(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        state: Mapping[str, Any] | None = None,
    ) -> MaskSchedule:
        """For methods that change masks while the network trains: call its `step()` before every
        optimiser step; masks are held, too.

        Args:
            steps: optimiser steps of the whole training.
            state: where a training is continued, `schedule.state_dict()` of its checkpoint, after
                model and optimiser were loaded.

        Raises:
            UserError: the method does not change masks while training, or see `MaskSchedule`.
        """
        method = self._network.method
        if not self.changes_masks or method is None:
            raise UserError(
                f"'{self.method}' does not change masks while the network trains: take "
                "pruned.hold(optimizer)"
            )
        self._schedule = MaskSchedule(
            self._network,
            method,
            optimizer,
            sparsity=self.requested,
            steps=steps,
            seed=self._seed,
            draw=self._draw,
            memory=self.memory,
            notes=self.notes,
            state=state,
        )
        return self._schedule

    @property
    def schedule_is_done(self) -> bool:
        """Whether there is a schedule, and it has seen all its optimiser steps."""
        return self._schedule is not None and self._schedule.done >= self._schedule.steps

    def begin_training(self, training: Train) -> None:
        """Note which training comes next, without a schedule yet."""
        self.training, self.changes_masks, self._schedule = training, training.updates, None

    def save(self, path: str | Path) -> None:
        """Write weights, masks, widths and what is known of the network into one file, which
        `pruning.load` reads; kept values and one bit per masked weight.

        Raises:
            UserError: the file cannot be written.
        """
        state = {name: value.detach().cpu() for name, value in self.model.state_dict().items()}
        network = self._network
        content = {
            "method": self.method,
            "knobs": self.knobs,
            "requested": self.requested,
            "macs_before": self.macs_before,
            "dense_params": network.dense_params,
            "dense_prunable": network.dense_prunable,
            "image": tuple(self.image),
            "notes": list(self.notes),
            "changes_masks": self.changes_masks,
            "pruned": list(network.masks),
            "keep": self.kept_channels,
            **pack_weights(state, network.masks),
        }
        write_pruned_file(path, content)

    def export_onnx(self, path: str | Path) -> None:
        """Write the network, in eval mode and for any batch size, as one ONNX file with the input
        `images` and the output `logits`.

        Raises:
            UserError: torch cannot export it, or a package is missing.
        """
        network = copy.deepcopy(self.model).cpu().float().eval()
        if network.__dict__.pop("_original_forward", None) is not None:
            del network.forward  # Accelerate's, which computes in the precision of its training
        properties = {"method": self.method, "sparsity": f"{self.sparsity:.6f}"}
        place = Path(path).expanduser()
        write_onnx(
            network, self.image, place, name=type(self.model).__name__, properties=properties
        )

    def __repr__(self) -> str:
        left = round((1 - self.sparsity) * self.prunable_weights)
        asked = "" if self.requested is None else f" (requested {self.requested:g})"
        lines = [
            f"{self.method}: sparsity {self.sparsity:.4f}{asked}, {left:,} of "
            f"{self.prunable_weights:,} prunable weights left",
            f"MACs {self.macs_before:,} -> {self.macs:,}, "
            f"{round(self.effective_macs):,} of them with weights that are not masked",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
