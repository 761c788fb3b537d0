"""The batches of the user's script, as methods draw images from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from pruning.method_calls import IMAGE_BATCH
from pruning.own_code.random_state import seeded_apart
from pruning.user_error import UserError

Batch = tuple[Tensor, Tensor]
PAIRS = "batches must yield (images, labels)"


class UserBatches:
    """Batches (images float [B, C, H, W] as the network takes them, labels int64 [B]) from a
    loader, a list or a generator of the user's.

    Whatever can be iterated again is read from its beginning at every draw, with torch's global
    generators seeded for it, so that a shuffling loader gives the same images for the same seed;
    what an iterator has yielded is kept. notes: what a method did not get.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device, dtype: torch.dtype) -> None:
        self._source, self._device, self._dtype = batches, device, dtype
        self._one_shot = isinstance(batches, Iterator)
        self._seen: list[Any] = []
        self._size: tuple[int, ...] | None = None
        self.notes: list[str] = []

    def expect(self, image: tuple[int, int, int]) -> None:
        """Refuse images of another size (channels, height, width) from now on."""
        self._size = image

    def first(self) -> Batch:
        """The first batch.

        Raises:
            UserError: there is none, or it is not (images, labels).
        """
        for batch in self.read(0):
            return batch
        raise UserError(f"{PAIRS}, but there are none")

    def read(self, seed: int) -> Iterator[Batch]:
        """All batches on the device, as they come.

        Raises:
            UserError: something else than (images, labels) is among them.
        """
        for batch in self._read_again() if self._one_shot else self._read_anew(seed):
            x, y = _check_batch(batch)
            self._check_size(x)
            dtype = self._dtype if x.is_floating_point() else x.dtype
            yield x.to(self._device, dtype, non_blocking=True), y.to(self._device, torch.int64)

    def _check_size(self, x: Tensor) -> None:
        self._size = self._size or tuple(x.shape[1:])
        if x.shape[1:] != self._size:
            one, other = ("x".join(map(str, size)) for size in (self._size, x.shape[1:]))
            raise UserError(f"images must be of one size, {one} here, but a batch has {other}")

    def draw(self, count: int, generator: torch.Generator) -> Iterator[Batch]:
        """The first `count` images in batches of `IMAGE_BATCH`; fewer where there are not so many,
        which is noted.

        Args:
            generator: seeds the order of a shuffling loader.
        """
        seed = int(torch.randint(2**62, (), generator=generator))
        drawn, parts = 0, list[Batch]()
        for x, y in self.read(seed):
            x, y = x[: count - drawn], y[: count - drawn]
            drawn += len(x)
            parts.append((x, y))
            while sum(len(part) for part, _ in parts) >= IMAGE_BATCH:
                x, y = _join(parts)
                yield x[:IMAGE_BATCH], y[:IMAGE_BATCH]
                parts = [(x[IMAGE_BATCH:], y[IMAGE_BATCH:])] if len(x) > IMAGE_BATCH else []
            if drawn == count:
                break
        if parts:
            yield _join(parts)
        if drawn < count:
            note = f"the method asked for {count} images, but the batches have {drawn}"
            self.notes += [note] if note not in self.notes else []

    def _read_again(self) -> Iterator[Any]:
        yield from self._seen
        for batch in self._source:
            self._seen.append(batch)
            yield batch

    def _read_anew(self, seed: int) -> Iterator[Any]:
        with seeded_apart(self._device, seed):
            batches = iter(self._source)
            first = list(zip(range(1), batches, strict=False))  # a sampler draws its order here
        yield from (batch for _, batch in first)
        yield from batches


def _join(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    x, y = zip(*parts, strict=True)
    return torch.cat(x), torch.cat(y)


def _check_batch(batch: Any) -> Batch:
    if not (isinstance(batch, list | tuple) and len(batch) == 2):
        raise UserError(f"{PAIRS}, but yield {type(batch).__name__}")
    x, y = batch
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise UserError(f"{PAIRS} as tensors, but yield {_name(x)} and {_name(y)}")
    if x.dim() != 4 or not x.is_floating_point():
        raise UserError(
            f"images must be floats [B, C, H, W] as the network takes them, but are {_name(x)}"
        )
    if y.shape != x.shape[:1] or y.is_floating_point():
        raise UserError(f"labels must be whole numbers, one for each image, but are {_name(y)}")
    if not len(y):
        raise UserError("batches must hold images, but one has none")
    return x, y


def _name(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
