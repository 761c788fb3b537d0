"""A network on its way through a trial: weights, masks, optimiser, and how all of it is saved and
put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.model_registry import build
from pruning.masks import all_kept, apply, prunable
from pruning.structured.shrink import shrink
from trainables.training.compile import Forward, choose_compiled
from trainables.training.epoch import choose_precision, make_optimizer
from trainables.training.seeds import derive

if TYPE_CHECKING:
    from trainables.training.recipe import Recipe
    from trainables.trial_spec import TrialSpec


class Network:
    """The network of one trial on its device, beginning with the initial weights of the trial's
    seed.

    masks: bool, one per prunable weight, True where kept; what they remove is zero in the model at
    every moment. keeps: for each time the network was made smaller, which channels of its groups
    stayed. dense_params, dense_prunable: parameters and prunable weights before any pruning.
    compiled: whether it trains compiled; decided by `steps`, the optimiser steps of the whole
    trial.
    """

    def __init__(
        self,
        spec: TrialSpec,
        image: tuple[int, int, int],
        classes: int,
        device: torch.device,
        *,
        steps: int = 0,
    ) -> None:
        self.spec, self.image, self.classes, self.device = spec, image, classes, device
        self.model = self._initial("init")
        self.dense_params = sum(parameter.numel() for parameter in self.model.parameters())
        self.dense_prunable = sum(weight.numel() for weight in prunable(self.model).values())
        self.precision = choose_precision(spec.recipe.precision, self.model, device)
        self.compiled = choose_compiled(spec.recipe.compile, self.model, steps=steps, device=device)
        self._forward: Forward | None = None
        self.masks: Mapping[str, Tensor] = all_kept(self.model)
        self.keeps: list[dict[str, Tensor]] = []
        self.optimizer: torch.optim.Optimizer | None = None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def _initial(self, stream: str) -> nn.Module:
        """The whole network with fresh weights from (seed, stream), drawn on the CPU whatever the
        device."""
        torch.manual_seed(derive(self.spec.seed, stream))
        model = build(self.spec.model, image=self.image, classes=self.classes).to(self.device)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @property
    def sparsity(self) -> float:
        """Fraction of the dense network's prunable weights that are gone, by masks or with their
        channels."""
        return 1 - sum(int(mask.sum()) for mask in self.masks.values()) / self.dense_prunable

    def renew_optimizer(self, recipe: Recipe) -> torch.optim.Optimizer:
        """Begin a training: a fresh optimiser without momentum."""
        self.optimizer = make_optimizer(self.model, recipe)
        return self.optimizer

    def follow(self, recipe: Recipe) -> torch.optim.Optimizer:
        """Go on with the optimiser of the training under way, by a recipe whose fields may have
        changed."""
        assert self.optimizer is not None, (
            "a training step follows the start of its training or a checkpoint of it"
        )
        for group in self.optimizer.param_groups:
            group["weight_decay"] = recipe.weight_decay
            if "momentum" in group:
                group["momentum"] = recipe.momentum
        return self.optimizer

    def forward(self, recipe: Recipe) -> nn.Module | Forward:
        """The forward pass of the training under way."""
        if not self.compiled:
            return self.model
        ours = self._forward
        if ours is None or ours.model is not self.model or ours.batch != recipe.batch:
            lenient = self.spec.recipe.compile == "auto"
            self._forward = ours = Forward(
                self.model, batch=recipe.batch, device=self.device, lenient=lenient
            )
        return ours

    def doubts(self) -> list[str]:
        """What the row must say of the training: that compiling failed; it then goes on without,
        also elsewhere."""
        if not (self._forward and self._forward.error):
            return []
        error, self.compiled, self._forward = self._forward.error, False, None
        return [f"trained without torch.compile, which failed: {error}"]

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put in weights and buffers of the dense network; masks and removed channels stay in
        force."""
        if self.keeps:
            self.model = self._initial("init")
        self.model.load_state_dict(weights)
        for keep in self.keeps:
            self.model = self._smaller(keep)
        apply(self.model, self.masks)

    def reinitialise(self, stream: str) -> None:
        """Draw weights and buffers anew; masks and removed channels stay in force.

        Weights of a smaller network are those that the whole one draws for its kept channels.
        """
        self.load(self._initial(stream).state_dict())

    def shrink(self, keep: Mapping[str, Tensor]) -> None:
        """Remove all channels that `keep` does not name of the groups it does name; a new training
        must follow."""
        self.keeps.append({name: kept.cpu() for name, kept in keep.items()})
        self.model = self._smaller(keep)
        self.masks = all_kept(self.model)
        self.optimizer = None

    def _smaller(self, keep: Mapping[str, Tensor]) -> nn.Module:
        small = shrink(self.model, keep, image=self.image).to(self.device)
        return small.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @torch.no_grad()
    def hold(self, masks: Mapping[str, Tensor]) -> None:
        """Take new masks: what they remove becomes zero, and momentum of every weight whose mask
        changed is cleared.

        Raises:
            ValueError: the masks do not fit the prunable weights.
        """
        weights = prunable(self.model)
        shapes = {name: weight.shape for name, weight in weights.items()}
        if {name: mask.shape for name, mask in masks.items()} != shapes:
            raise ValueError(
                f"the method '{self.spec.method}' returned masks that do not fit the prunable weights"
            )
        moved = {name: masks[name].to(self.device) for name in weights}
        for name, weight in weights.items():
            for value in (self.optimizer.state.get(weight, {}) if self.optimizer else {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.masked_fill_(moved[name] ^ self.masks[name], 0)
        self.masks = moved
        apply(self.model, self.masks)

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers on the CPU: a state dict that the plain model loads."""
        return {
            name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()
        }

    def state(self, *, midway: bool) -> dict[str, Any]:
        """Everything needed to go on; the optimiser only `midway` in a training."""
        return {
            "model": self.model.state_dict(),
            "masks": dict(self.masks),
            "keeps": self.keeps,
            "optimizer": self.optimizer.state_dict() if midway and self.optimizer else None,
            "scaler": self.scaler.state_dict(),
            "precision": self.precision,
            "compiled": self.compiled,
        }

    def restore(self, saved: Mapping[str, Any], recipe: Recipe) -> None:
        """Put back what `state` returned; `recipe` is the one of the training it was midway in."""
        self.keeps = saved["keeps"]
        for keep in self.keeps:
            self.model = self._smaller(keep)
        self.model.load_state_dict(saved["model"])
        self.masks = {name: mask.to(self.device) for name, mask in saved["masks"].items()}
        self.precision, self.compiled = saved["precision"], saved["compiled"]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.scaler.load_state_dict(saved["scaler"])
        if saved["optimizer"] is not None:
            self.renew_optimizer(recipe).load_state_dict(saved["optimizer"])
