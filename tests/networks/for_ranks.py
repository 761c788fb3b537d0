"""Small smooth networks for tests of several ranks, and ones that go wrong at one of them."""

import os
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn


def smooth(image: tuple[int, int, int], classes: int, *, norm: bool, dropout: float) -> nn.Module:
    """Two convolutions and a linear layer; no kinks, at which rounding becomes large."""
    return nn.Sequential(
        OrderedDict[str, Any](
            conv1=nn.Conv2d(image[0], 8, 3, padding=1, bias=not norm),
            norm1=nn.BatchNorm2d(8) if norm else nn.Identity(),
            act1=nn.SiLU(),
            conv2=nn.Conv2d(8, 16, 3, padding=1, stride=2, bias=not norm),
            norm2=nn.BatchNorm2d(16) if norm else nn.Identity(),
            act2=nn.SiLU(),
            pool=nn.AdaptiveAvgPool2d(2),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(dropout),
            fc=nn.Linear(64, classes),
        )
    )


def plain(image: tuple[int, int, int], classes: int) -> nn.Module:
    return smooth(image, classes, norm=False, dropout=0.0)


def with_norm(image: tuple[int, int, int], classes: int) -> nn.Module:
    return smooth(image, classes, norm=True, dropout=0.0)


def with_dropout(image: tuple[int, int, int], classes: int) -> nn.Module:
    return smooth(image, classes, norm=True, dropout=0.3)


class AtRankOne(nn.Module):
    """What goes wrong in the training of the second rank."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.scale = fault, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        second = distributed.is_initialized() and distributed.get_rank() == 1
        if self.training and second and self.fault == "raises":
            raise RuntimeError("out of luck")
        if self.training and second and self.fault == "differs":
            self.scale.data += 1e-6
        return x * self.scale


def raises(image: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(AtRankOne("raises"), *plain(image, classes))


def differs(image: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(AtRankOne("differs"), *plain(image, classes))


class KilledOnce(nn.Module):
    """Kills the process of a rank in its training: the second one's in the fifth batch, and another
    time the first one's in the ninth; each leaves a file in the folder KILLED_ONCE. Without such a
    folder none is killed."""

    BATCH = {1: 5, 0: 9}

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def forward(self, x: Tensor) -> Tensor:
        folder = os.environ.get("KILLED_ONCE")
        if folder and self.training and distributed.is_initialized():
            self.batches += 1
            rank = distributed.get_rank()
            mark = Path(folder, f"rank {rank}")
            if self.batches == self.BATCH[rank] and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return x


def killed_once(image: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(KilledOnce(), *with_dropout(image, classes))
