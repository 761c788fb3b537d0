"""What the small networks of `channel_cases` are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

IMAGE = (3, 8, 8)


class Net(nn.Module):
    """Layers, and a forward pass that is given."""

    def __init__(self, run: Callable[[Any, Tensor], Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


class Case(NamedTuple):
    """A forward pass, its layers, and the channels of each group; None if nothing can be cut."""

    run: Callable[[Any, Tensor], Any]
    layers: Callable[[], dict[str, Any]]
    groups: dict[str, int] | None


def conv(inputs: int, outputs: int, kernel: int = 3, **choices: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **choices)


def pool(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def gated(x: Tensor, gate: Tensor) -> Tensor:
    return x * gate.sigmoid()


def inplace(x: Tensor) -> Tensor:
    x[:, :4] = x[:, 4:].sigmoid()
    return x


def layers(**chosen: Any) -> dict[str, Any]:
    return chosen
