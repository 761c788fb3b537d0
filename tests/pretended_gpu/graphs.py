"""CUDA graphs of the pretended GPU: the operations of a capture, done again at every replay on the
memory that they had then.

Unlike on a GPU the operations are also done while they are captured. The memory of a graph is not
shared with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tests.pretended_gpu.operations import SUBSTITUTES

if TYPE_CHECKING:
    from tests.pretended_gpu.instrument import PretendedGpu

REFUSED = "CUDA error: operation not permitted when stream is capturing"


@dataclass
class Operation:
    """One operation of a capture, on the numbers of its tensors."""

    func: Any
    args: Any
    kwargs: Any
    answer: Any

    def repeat(self) -> None:
        """Do it again; what it made then is written anew."""
        if self.func.is_view:
            return
        again = SUBSTITUTES.get(self.func, self.func)(*self.args, **self.kwargs)
        for old, new in zip(tree_leaves(self.answer), tree_leaves(again), strict=True):
            if isinstance(old, Tensor) and old is not new:
                old.copy_(new)


@dataclass
class Graph:
    """What stands for `torch.cuda.CUDAGraph`."""

    gpu: PretendedGpu | None = None
    operations: list[Operation] = field(default_factory=list)

    def replay(self) -> None:
        """Do all operations again, as one launch."""
        assert self.gpu is not None, "a graph is replayed after its capture"
        self.gpu.kernels["graph"] += 1
        # What was made in inference mode may be written in it alone.
        with torch.inference_mode(), self.gpu.random_numbers(True):
            for operation in self.operations:
                operation.repeat()

    def reset(self) -> None:
        """Forget the operations."""
        self.operations.clear()


@contextmanager
def capturing(gpu: PretendedGpu, graph: Graph, **_: Any) -> Iterator[None]:
    """What stands for `torch.cuda.graph`: in here, the host can neither wait nor upload."""
    graph.gpu, gpu.captured = gpu, graph
    try:
        yield
    finally:
        gpu.captured = None
