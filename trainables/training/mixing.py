"""Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899): each
image of a batch mixed with the one before it, and its target with that one's."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pruning.seeds import derive_seed


def mix_batches(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    classes: int,
    mixup: float,
    cutmix: float,
    seed: int,
    names: tuple[str | int, ...],
    first: int = 0,
    before: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x float [B, C, H, W], y int64 [B]) mixed: x as before, y float32 [B, classes], the
    shares of the classes.

    What is drawn for a batch follows from (seed, names, its index) alone, on any device. The mixing
    is that of torchvision's MixUp and CutMix; where both are on, a coin is tossed for each batch.

    Args:
        mixup, cutmix: alpha of Beta(alpha, alpha), from which a batch draws its share; 0 is off.
        first: index of the first of the batches in its epoch.
        before: whether each batch begins with the image that its first one is mixed with, and
            which is left out; else that is its last one, as if it were a ring.
    """
    for index, (x, y) in enumerate(batches, first):
        # RandomState's streams are frozen by numpy's policy.
        state = np.random.RandomState(derive_seed(seed, *names, "mix", index) % 2**32)
        cut = bool(cutmix) and (not mixup or state.random_sample() < 0.5)
        alpha = cutmix if cut else mixup
        share = float(state.beta(alpha, alpha))
        targets = functional.one_hot(y, classes).float()
        if before:
            x, other, targets, previous = x[1:], x[:-1], targets[1:], targets[:-1]
        else:
            other, previous = x.roll(1, 0), targets.roll(1, 0)
        if cut:
            top, bottom, left, right = _draw_box(state, x.shape[2], x.shape[3], share)
            x = x.clone(memory_format=torch.preserve_format)
            x[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / (x.shape[2] * x.shape[3])
        else:
            x = x * share + other * (1 - share)
        yield x, targets * share + previous * (1 - share)


def main_labels(y: Tensor) -> Tensor:
    """The class [B] with the largest share of each target: what a mixed image counts as in the
    training accuracy. Labels int64 [B] are their own."""
    return y.argmax(1) if y.ndim == 2 else y


def _draw_box(
    state: np.random.RandomState, height: int, width: int, share: float
) -> tuple[int, int, int, int]:
    """The rectangle (top, bottom, left, right) that comes from the other image: 1 - `share` of the
    image around a uniform middle, clipped to the image."""
    half = 0.5 * (1 - share) ** 0.5
    down, across = state.randint(height), state.randint(width)
    rows, columns = int(half * height), int(half * width)
    return (
        max(0, down - rows),
        min(height, down + rows),
        max(0, across - columns),
        min(width, across + columns),
    )
