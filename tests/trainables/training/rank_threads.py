"""Ranks as threads of one process, for tests of what they compute: they exchange tensors through a
list and a barrier."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from trainables.data.batch_part import BatchPart
from trainables.training.ranks import Ranks


class Table:
    """Where ranks lay down what they exchange."""

    def __init__(self, ranks: int) -> None:
        self._places: list[Any] = [None] * ranks
        self._barrier = Barrier(ranks, timeout=30)

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """The values of all ranks."""
        self._places[rank] = value
        self._barrier.wait()
        values = list(self._places)
        self._barrier.wait()
        return values


class ThreadRanks(Ranks):
    def __init__(self, rank: int, ranks: int, table: Table) -> None:
        super().__init__(BatchPart(rank, ranks))
        self._table = table

    def agree(self, decide: Callable[[], bool]) -> bool:
        return bool(self._table.exchange(self.part.rank, decide())[0])

    def gather(self, value: object) -> list[Any] | None:
        values = self._table.exchange(self.part.rank, value)
        return values if self.is_first else None

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        copies = [tensor.detach().clone() for tensor in tensors]
        others = self._table.exchange(self.part.rank, copies)
        for tensor, parts in zip(tensors, zip(*others, strict=True), strict=True):
            tensor.detach().copy_(torch.stack(parts).sum(0))

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        copies = [tensor.detach().clone() for tensor in tensors]
        for tensor, first in zip(
            tensors, self._table.exchange(self.part.rank, copies)[0], strict=True
        ):
            tensor.detach().copy_(first)

    def stack(self, values: Tensor) -> Tensor:
        return torch.stack(self._table.exchange(self.part.rank, values.detach().clone()))


def run_ranks(count: int, function: Callable[[ThreadRanks], Any]) -> list[Any]:
    """What the function returns at each of so many ranks."""
    table = Table(count)
    with ThreadPoolExecutor(count) as threads:
        ranks = [ThreadRanks(rank, count, table) for rank in range(count)]
        return list(threads.map(function, ranks))
