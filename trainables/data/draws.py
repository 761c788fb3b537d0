"""What is random in the batches of an epoch: the order of the images, crops and flips."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainables.data.loader_interface import Augment


@dataclass(frozen=True, eq=False)
class Draws:
    """What is random in one epoch, on the device of the images: the order and, per place in it,
    crop and flip.

    `order`, `top` and `left` are int64 [N], the corner within the padded image in 0..2p; `flip` is
    bool [N]. `plain`: all of them are the middle of the image, not flipped.
    """

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    plain: bool = False

    def at(self, places: slice | Tensor) -> "Draws":
        """Those of some places, given by a slice or by int64 [B] on the same device."""
        order, top, left, flip = (part[places] for part in self.tensors)
        return replace(self, order=order, top=top, left=left, flip=flip)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that is drawn."""
        return self.order, self.top, self.left, self.flip

    def copy(self) -> "Draws":
        """The same in other memory."""
        order, top, left, flip = (part.clone() for part in self.tensors)
        return replace(self, order=order, top=top, left=left, flip=flip)


def draw_places(count: int, padding: int, *, augment: Augment, generator: torch.Generator) -> Draws:
    """The draws of one epoch of `count` images with a border of `padding`, on the CPU.

    Raises:
        ValueError: an augmentation that is not made of crops and flips alone.
    """
    check_drawn_together(augment)
    order = torch.randperm(count, generator=generator)
    corner = torch.full((2, count), padding)
    if augment != "none":
        corner = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    flip = torch.zeros(count, dtype=torch.bool)
    if augment == "crop_flip":
        flip = torch.randint(0, 2, (count,), generator=generator).bool()
    return Draws(order, corner[0], corner[1], flip, plain=augment == "none")


def check_drawn_together(augment: Augment) -> None:
    """Pass if an augmentation is made of crops and flips alone, drawn for an epoch at once.

    Raises:
        ValueError: it is not.
    """
    if augment not in ("none", "crop", "crop_flip"):
        raise ValueError(f"augment must be 'none', 'crop' or 'crop_flip', but got '{augment}'")
