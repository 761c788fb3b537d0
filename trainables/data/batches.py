"""Batches of images that live on the device: random crops and flips as one gather, no loader
processes."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainables.data.batch_part import WHOLE, BatchPart
from trainables.data.draws import Draws, check_drawn_together, draw_places
from trainables.data.loader_interface import Augment, Batch

# Values of an image from which on a CPU normalises image by image, which then stay in its cache.
CACHED = 3 * 64 * 64


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images on a device, uint8 [N, H + 2p, W + 2p, C] with a border of p zeros, and labels int64
    [N].

    `scale` and `shift`, float32 [W * C], turn a row of pixels into normalised values: x * scale +
    shift.
    """

    images: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor
    padding: int

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        augment: Augment = "none",
    ) -> "Pixels":
        """Images uint8 [N, H, W, C] made ready for `training_batches`, on the device on which they
        are.

        Where `augment` crops, they are padded once, by an eighth of the shorter side (4 at 32, 3 at
        28, 1 at 8).
        """
        height, width = x.shape[1:3]
        padding = 0 if augment == "none" else border(height, width)
        images = (
            functional.pad(x, (0, 0, padding, padding, padding, padding))
            if padding
            else x.contiguous()
        )
        scale, shift = _normalisation(mean, std, width=width, device=x.device)
        return cls(images, y, scale, shift, padding)


def draw_epoch(pixels: Pixels, *, augment: Augment, generator: torch.Generator) -> Draws:
    """The draws of one epoch, made on the CPU so that they do not depend on the device.

    Raises:
        ValueError: an unknown augmentation, or one that crops images that have no border.
    """
    check_drawn_together(augment)
    if augment != "none" and not pixels.padding:
        raise ValueError(
            f"augment '{augment}' needs padded images; "
            f"make them by Pixels.of(..., augment='{augment}')"
        )
    draws = draw_places(len(pixels.images), pixels.padding, augment=augment, generator=generator)
    device = pixels.images.device
    order, top, left, flip = (part.to(device) for part in draws.tensors)
    return Draws(order, top, left, flip, draws.plain)


@dataclass(frozen=True, eq=False)
class DrawnBatch:
    """A batch that is drawn and not gathered yet: places `start` to `stop` of an epoch."""

    pixels: Pixels
    draws: Draws
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def gather(self) -> Batch:
        """Its images and labels, see `training_batches`."""
        return gather(self.pixels, self.draws.at(slice(self.start, self.stop)))


def gather(pixels: Pixels, draws: Draws) -> Batch:
    """The batch of these draws: x float32 [B, C, H, W] in channels_last memory, y int64 [B].

    Only device operations of fixed shape, without a wait for the device, so that a CUDA graph can
    hold them.
    """
    _, rows, columns, channels = pixels.images.shape
    height, width = rows - 2 * pixels.padding, columns - 2 * pixels.padding
    order = draws.order
    if draws.plain:  # whole images: 60 of MNIST take 69 us on a CPU, pixel by pixel 264 us
        edge = pixels.padding
        x = pixels.images.index_select(0, order)[:, edge : edge + height, edge : edge + width]
        return _normalise(x, pixels.scale, pixels.shift), pixels.labels[order]
    across = torch.arange(width, device=order.device)
    down = torch.arange(height, device=order.device)
    column = draws.left[:, None] + torch.where(draws.flip[:, None], width - 1 - across, across)
    row = (order * rows + draws.top)[:, None] + down
    # One flat index per pixel: on CPU 320,000 images/s of 32x32, where three indices give 87,000.
    index = (row * columns)[:, :, None] + column[:, None, :]
    x = pixels.images.view(-1, channels).index_select(0, index.view(-1))
    return _normalise(
        x.view(len(order), height, width, channels), pixels.scale, pixels.shift
    ), pixels.labels[order]


def training_batches(
    pixels: Pixels,
    *,
    batch: int,
    augment: Augment,
    generator: torch.Generator,
    drop_last: bool = False,
    skip: int = 0,
    part: BatchPart = WHOLE,
    before: bool = False,
) -> Iterator[Batch]:
    """One epoch in random order: x float32 [B, C, H, W], normalised, in channels_last memory, and y
    int64 [B].

    The last batch may be short. One image left over joins the batch before it, because batch-norm
    cannot take one.

    Args:
        pixels: from `Pixels.of` with the same `augment`.
        batch: images per batch.
        augment: none, random crop out of the zero-padded image, or crop and horizontal flip with
            probability 1/2.
        generator: on the CPU; it alone decides order, crops and flips.
        drop_last: leave out what does not fill a batch.
        skip: batches at the beginning to leave out, where an epoch continues after a pause.
        part, before: what is wanted of each batch, see `BatchPart.places`.

    Raises:
        ValueError: batch below 1, or as `draw_epoch`.
    """
    bounds = spans(len(pixels.images), batch, drop_last=drop_last)
    draws = draw_epoch(pixels, augment=augment, generator=generator)
    return (
        _gather_part(pixels, draws, part, start, stop, before=before)
        for start, stop in bounds[skip:]
    )


def drawn_batches(
    pixels: Pixels, *, batch: int, augment: Augment, generator: torch.Generator, skip: int = 0
) -> Iterator[DrawnBatch]:
    """As `training_batches`, drawn and not gathered.

    Raises:
        ValueError: batch below 1, or as `draw_epoch`.
    """
    bounds = spans(len(pixels.images), batch)
    draws = draw_epoch(pixels, augment=augment, generator=generator)
    return (DrawnBatch(pixels, draws, start, stop) for start, stop in bounds[skip:])


def _gather_part(
    pixels: Pixels, draws: Draws, part: BatchPart, start: int, stop: int, *, before: bool
) -> Batch:
    """The part of a batch of places `start` to `stop`."""
    first, last = part.span(start, stop)
    own = DrawnBatch(pixels, draws, first, last).gather()
    if not before:
        return own
    place = (first if first > start else stop) - 1
    one = DrawnBatch(pixels, draws, place, place + 1).gather()
    return torch.cat([one[0], own[0]]), torch.cat([one[1], own[1]])


def plain_batches(
    x: Tensor, y: Tensor, *, mean: tuple[float, ...], std: tuple[float, ...], batch: int
) -> Iterator[Batch]:
    """Images uint8 [N, H, W, C] and labels in their order, normalised as in training, without
    augmentation.

    Raises:
        ValueError: batch below 1.
    """
    _check_batch(batch)
    scale, shift = _normalisation(mean, std, width=x.shape[2], device=x.device)
    return (
        (_normalise(part, scale, shift), labels)
        for part, labels in zip(x.split(batch), y.split(batch), strict=True)
        if len(part)
    )


def spans(count: int, batch: int, *, drop_last: bool = False) -> list[tuple[int, int]]:
    """Start and stop of every batch of an epoch of `count` images.

    Raises:
        ValueError: batch below 1.
    """
    _check_batch(batch)
    starts = list(range(0, count - batch + 1 if drop_last else count, batch))
    if not drop_last and len(starts) > 1 and count - starts[-1] == 1 < batch:
        starts.pop()
    stops = [start + batch for start in starts] if drop_last else [*starts[1:], count]
    return list(zip(starts, stops, strict=True)) if starts else []


def border(height: int, width: int) -> int:
    """Pixels of zeros around an image that is cropped: an eighth of its shorter side."""
    return max(1, min(height, width) // 8)


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Turns pixels of images of one width into normalised values on a device.

    scale, shift: float32 [W * C], as of `Pixels`.
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(
        cls,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        width: int,
        device: torch.device | str,
    ) -> "Normaliser":
        """For channels of that mean and std, in 0..1."""
        return cls(*_normalisation(mean, std, width=width, device=torch.device(device)))

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 [B, H, W, C], or float32 in 0..1, as float32 [B, C, H, W] in channels_last
        memory."""
        if x.is_floating_point():
            x = x * 255
        if x.device.type != "cpu" or x[0].numel() < CACHED:
            return _normalise(x, self.scale, self.shift)
        made = torch.empty(x.shape)
        for image, values in zip(x, made.view(len(x), x.shape[1], -1), strict=True):
            values.copy_(image.view(values.shape)).mul_(self.scale).add_(self.shift)
        return made.permute(0, 3, 1, 2)


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise ValueError(f"batch must be at least 1, but got {batch}")


def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], *, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    means, stds = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    # Repeated over a row of the image: loops over three channels would be too short for vector
    # instructions.
    scale, shift = (1 / (255 * stds)).float().repeat(width), (-means / stds).float().repeat(width)
    return scale.to(device), shift.to(device)


def _normalise(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """uint8 [B, H, W, C] as float32 [B, C, H, W] in channels_last memory."""
    rows = x.reshape(x.shape[0], x.shape[1], -1).float().mul_(scale).add_(shift)
    return rows.view(x.shape).permute(0, 3, 1, 2)
