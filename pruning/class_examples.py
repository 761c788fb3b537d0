"""Training images for scores of the initial network: as many of every class."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pruning.eval_mode import exact_eval_mode
from pruning.method import PruneInput

Batch = tuple[Tensor, Tensor]


def class_examples(inputs: PruneInput, per_class: int) -> list[Batch]:
    """`per_class` training images of every class in batches.

    The number of classes is the number of logits. Classes with fewer training images are noted.

    Raises:
        ValueError: see `balanced_batches`.
    """
    with exact_eval_mode(inputs.model):
        classes = inputs.model(next(inputs.model.parameters()).new_zeros(1, *inputs.image)).shape[1]
    batches, counts = balanced_batches(inputs.images, classes, per_class=per_class)
    if scarce := [label for label, count in enumerate(counts) if count < per_class]:
        inputs.notes.append(
            f"fewer than {per_class} examples of classes {', '.join(map(str, scarce))}"
        )
    return batches


def balanced_batches(
    images: Callable[[int], Iterable[Batch]], classes: int, *, per_class: int, largest: int = 256
) -> tuple[list[Batch], list[int]]:
    """`per_class` images of every class, in the order in which they are drawn, as batches of nearly
    equal size.

    The number of drawn images is doubled until every class has enough of them or no more come.

    Args:
        images: `images(n)` yields batches (x [B, C, H, W], y int64 [B]) of n images in all; see
            `PruneInput`.
        classes: how many labels there are, 0 ... classes - 1.
        largest: no batch has more images than this.

    Returns:
        Batches, and how many images each class has in them.

    Raises:
        ValueError: no image, or a label outside 0 ... classes - 1.
    """
    drawing = 2 * per_class * classes
    while True:
        picked, counts, drawn = _pick(images(drawing), classes, per_class)
        if min(counts) == per_class or drawn < drawing:
            break
        drawing *= 2
    if not picked:
        raise ValueError("the scores need at least 1 image, but got 0")
    x, y = (torch.cat(parts) for parts in zip(*picked, strict=True))
    pieces = -(-len(y) // largest)
    return list(zip(x.tensor_split(pieces), y.tensor_split(pieces), strict=True)), counts


def _pick(
    batches: Iterable[Batch], classes: int, per_class: int
) -> tuple[list[Batch], list[int], int]:
    """The first `per_class` images of each class, how many each class got, and how many images were
    drawn."""
    picked, counts, drawn = [], [0] * classes, 0
    for x, y in batches:
        labels = y.tolist()
        drawn += len(labels)
        if not 0 <= min(labels) <= max(labels) < classes:
            raise ValueError(
                f"labels must be in [0, {classes}), but got {min(labels)} to {max(labels)}"
            )
        chosen = []
        for position, label in enumerate(labels):
            if counts[label] < per_class:
                counts[label] += 1
                chosen.append(position)
        if chosen:
            picked.append((x[chosen], y[chosen]))
    return picked, counts, drawn
