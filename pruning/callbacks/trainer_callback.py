"""Masks in a training by Hugging Face's `Trainer`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pruning.callbacks.masked_training import MaskedTraining
from pruning.masks import prunable
from pruning.own_code.pruned import Pruned

FILE = "pruning_masks.pt"  # in a checkpoint's folder


class TrainerMaskCallback(TrainerCallback):  # type: ignore[misc]
    """Keeps masked weights at zero through `trainer.train()`, and changes the masks of methods that
    do so while the network trains, such as `gmp` and `rigl`.

    `Trainer(model=pruned.model, callbacks=[TrainerMaskCallback(pruned)], ...)`, with any optimiser,
    precision and accumulation. `Trainer` clips before it calls anybody: so gradients of masked
    weights are left out as they arise, except those of methods that change masks, which need them.
    """

    def __init__(self, pruned: Pruned) -> None:
        self._pruned, self._training = pruned, MaskedTraining(pruned)
        self._hooks: list[Any] = []

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        if (saved := _find_file(args, state)).is_file():
            state_dict = torch.load(saved, map_location="cpu", weights_only=True)
            self._training.load_state_dict(state_dict)
        inner = getattr(optimizer, "optimizer", optimizer)  # of Accelerate's wrapper
        self._training.begin([inner], state.max_steps, done=state.global_step)
        if self._training.schedule is None:
            weights = prunable(self._pruned.model, only=self._pruned.masks)
            for name, mask in self._pruned.masks.items():
                hook = partial(_mask_gradient, mask=mask)
                self._hooks.append(weights[name].register_post_accumulate_grad_hook(hook))

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._training.before_step()

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if self._training.schedule is not None and args.should_save:
            torch.save(self._training.state_dict(), _find_file(args, state))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._training.end()
        while self._hooks:
            self._hooks.pop().remove()


def _mask_gradient(weight: Tensor, mask: Tensor) -> None:
    if weight.grad is not None:
        weight.grad.mul_(mask)


def _find_file(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir or ".") / f"checkpoint-{state.global_step}" / FILE
