"""How many batches the batch-norm layers of a network on a GPU have seen: counted on the host and
added for all layers at once, where torch starts a kernel for each, 21 of the 268 of a ResNet-20's
training step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_LAYERS = {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}
_NAME = "num_batches_tracked"


class BatchCounters:
    """The counters of a network's batch-norm layers; no other layers than torch's own, and none
    without momentum, whose formula contains the counter."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = [
            module
            for module in model.modules()
            if type(module) in _LAYERS
            and module.momentum is not None
            and isinstance(counter := module._buffers.get(_NAME), Tensor)
            and counter.is_cuda
        ]
        self._counted = torch.zeros(len(self._layers), dtype=torch.int64)
        self._on_host = list(self._counted.unbind())

    @contextmanager
    def count(self) -> Iterator[None]:
        """Let the layers count on the host in here; what they counted is then added to their own
        counters."""
        if not self._layers:
            yield
            return
        counters: list[Tensor] = [layer.get_buffer(_NAME) for layer in self._layers]
        for layer, on_host in zip(self._layers, self._on_host, strict=True):
            layer._buffers[_NAME] = on_host
        try:
            yield
        finally:
            for layer, counter in zip(self._layers, counters, strict=True):
                layer._buffers[_NAME] = counter
            counts = self._counted.tolist()
            self._counted.zero_()
            torch._foreach_add_(counters, counts)
