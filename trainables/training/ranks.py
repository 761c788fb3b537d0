"""The ranks of a trial: processes, each with a device of its own, that walk the same trial together
and share its batches.

Every rank holds all weights, masks and random numbers. Of a training batch it computes its part,
and gradients are added up; of an evaluation it computes some of the batches. All else, such as
scores for pruning, every rank computes as a whole, so that nothing but training and evaluation
needs to know of ranks. What one rank decides by a clock, it decides for all.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, distributed

from trainables.data.batch_part import WHOLE, BatchPart


class RankLostError(RuntimeError):
    """Another rank of the trial has ended, or does not answer; the trial goes on from its last
    checkpoint, in new processes."""


class RanksDifferError(RuntimeError):
    """Ranks that should have computed the same have not."""


class Link(Protocol):
    """How ranks exchange small things beside tensors; each call is one that all of them make."""

    def agree(self, decide: Callable[[], bool]) -> bool:
        """What the first rank decides."""

    def gather(self, value: object) -> list[Any] | None:
        """The values of all ranks, in their order, at the first rank; None at the others."""


class Ranks:
    """This rank of a trial, and what it does together with the others.

    part: what it has of each batch. Tensors are exchanged by `torch.distributed`, whose process
    group must be there where there is more than one rank.
    """

    def __init__(self, part: BatchPart = WHOLE, link: Link | None = None) -> None:
        self.part, self._link = part, link

    @property
    def count(self) -> int:
        """How many there are."""
        return self.part.ranks

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.part.rank == 0

    def agree(self, decide: Callable[[], bool]) -> bool:
        """What the first rank decides; the others do not ask `decide`."""
        return self._link.agree(decide) if self._link else decide()

    def gather(self, value: object) -> list[Any] | None:
        """The values of all ranks, in their order, at the first rank; None at the others. Values
        must be plain: numbers, text, bytes, lists."""
        return self._link.gather(value) if self._link else [value]

    def check_equal(self, what: str, value: object) -> None:
        """Pass if a plain value is the same at all ranks.

        Raises:
            RanksDifferError: at the first rank; it is not.
        """
        values = self.gather(value) or []
        for rank, other in enumerate(values):
            if other != values[0]:
                raise RanksDifferError(
                    f"{what} of rank {rank} of {self.count} is {other}, of rank 0 {values[0]}: all "
                    "ranks must compute the same"
                )

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all ranks; the same bits at each."""
        for group in _by_type(tensors):
            flat = _flatten(group)
            with _naming_losses():
                distributed.all_reduce(flat)
            _copy_parts(flat, group)

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by that of the first rank."""
        for group in _by_type(tensors):
            flat = _flatten(group)
            with _naming_losses():
                distributed.broadcast(flat, src=0)
            if not self.is_first:
                _copy_parts(flat, group)

    def stack(self, values: Tensor) -> Tensor:
        """The tensors of all ranks, [ranks, *shape]."""
        parts = [torch.empty_like(values) for _ in range(self.count)]
        with _naming_losses():
            distributed.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def derive_random_state(self, state: Tensor) -> Tensor:
        """The state of a generator of the CPU for this rank, from one that all ranks have: for the
        first the same, for each other one of its own, so that dropout of two parts of a batch is
        not the same."""
        if self.is_first:
            return state
        content = state.numpy().tobytes() + bytes(f"/rank/{self.part.rank}", "ascii")
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
        return torch.Generator().manual_seed(seed).get_state()


ONE_RANK = Ranks()


@contextmanager
def _naming_losses() -> Iterator[None]:
    """What torch says where another rank is gone, as RankLostError."""
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise RankLostError(f"another rank is gone: {text[:300]}") from None


def _by_type(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """The tensors, those of one type together; none of them empty lists."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def _flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All values in one dimension, so that they go in one message."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@torch.no_grad()
def _copy_parts(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Put back what `_flatten` returned."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    views = [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    torch._foreach_copy_([tensor.detach() for tensor in tensors], views)
