"""The exponential moving average of a network's weights that a recipe with `ema` asks for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pruning.masks import prunable


class WeightAverage:
    """The moving average of the weights of a model in training.

    It is that of torch's `AveragedModel` with `get_ema_multi_avg_fn` and `use_buffers`, without its
    wait for the device at each step: the first update copies the weights, each further one moves
    the average by (1 - decay) of the way to them (Polyak & Juditsky 1992, doi 10.1137/0330046).
    Buffers of floating point, such as the statistics of batch-norm, are averaged like weights;
    counters stay the model's, and so does what holds infinities, as an attention mask does.

    Args:
        values: what `state` returned, to continue from there.
    """

    def __init__(self, model: nn.Module, values: Mapping[str, Tensor] | None = None) -> None:
        tensors: dict[str, Tensor] = dict(model.named_parameters())
        stored = set(model.state_dict())
        tensors |= {
            name: buffer
            for name, buffer in model.named_buffers()
            if name in stored and bool(torch.isfinite(buffer).all())
        }
        averaged = [name for name, value in tensors.items() if value.is_floating_point()]
        values = values or {}
        self._names = list(values) or averaged
        self._live = [tensors[name] for name in self._names]
        self._average = [
            torch.empty_like(tensors[name], requires_grad=False).copy_(value)
            for name, value in values.items()
        ]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Take in the weights as an optimiser step has left them; decay: in 0..1."""
        if not self._average:
            self._average = [live.detach().clone() for live in self._live]
            return
        groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for average, live in zip(self._average, self._live, strict=True):
            averages, lives = groups.setdefault(live.dtype, ([], []))
            averages.append(average)
            lives.append(live.detach())
        for averages, lives in groups.values():
            get_ema_multi_avg_fn(decay)(averages, lives, 1)

    @torch.no_grad()
    def apply_masks(self, model: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Set to zero what masks remove from weights of the model."""
        weights = prunable(model)
        position = {id(live): index for index, live in enumerate(self._live)}
        for name, mask in masks.items() if self._average else ():
            self._average[position[id(weights[name])]].masked_fill_(~mask, 0)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model has the average for as long as this lasts, if there is one yet."""
        trained = [live.detach().clone() for live in self._live] if self._average else []
        self.copy_to_model()
        try:
            yield
        finally:
            self._set_model(trained)

    def copy_to_model(self) -> None:
        """The average becomes the model's weights, if there is one yet."""
        self._set_model(self._average)

    @torch.no_grad()
    def _set_model(self, values: list[Tensor]) -> None:
        if values:
            torch._foreach_copy_([live.detach() for live in self._live], values)

    def state(self) -> dict[str, Tensor]:
        """The average by the names that the model's state dict has; nothing before the first
        update."""
        return dict(zip(self._names, self._average, strict=True)) if self._average else {}
