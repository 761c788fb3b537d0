"""CUDA graphs of the pretended GPU: a capture computes nothing and changes nothing, and notes what
is asked for; a replay does it on the memory that the tensors of the capture have.

Refused while capturing, as CUDA refuses it: that the host waits, copies to the device, or draws
from a generator that the graph does not know. A number that lay on the host is the one it was at
the capture. What a capture made holds NaN until the first replay.

It cannot show what a capture does to streams, to the memory that a graph keeps for itself, and to
libraries that work otherwise while they are captured; and it keeps tensors alive that a graph on a
GPU would go on to use after they are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from tests.pretended_gpu import cuda_runtime
from tests.pretended_gpu.operations import SUBSTITUTES, poison

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
    """What stands for `torch.cuda.CUDAGraph`.

    kernels: those of one replay, by operation; `launches` of the GPU counts a replay as one.
    """

    gpu: PretendedGpu | None = None
    operations: list[Operation] = field(default_factory=list)
    kernels: Counter[str] = field(default_factory=Counter)
    _found: dict[int, tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )  # bytes, and as they were
    _made: list[Tensor] = field(default_factory=list)

    def before(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Note what an operation of the capture finds in memory.

        Returns:
            Its arguments as a replay takes them.
        """

        def found(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            storage: Any = leaf.untyped_storage()
            if not getattr(storage, "on_device", False):
                return leaf.clone()
            if storage.data_ptr() not in self._found:
                content = torch.empty(0, dtype=torch.uint8).set_(storage)
                self._found[storage.data_ptr()] = content, content.clone()
            return leaf

        return tree_map(found, (args, kwargs))  # type: ignore[no-any-return]

    def after(self, func: Any, args: Any, kwargs: Any, answer: Any) -> None:
        """Note an operation of the capture and what it made."""
        self.operations.append(Operation(func, args, kwargs, answer))
        for leaf in tree_leaves(answer):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in self._found:
                content = torch.empty(0, dtype=torch.uint8).set_(leaf.untyped_storage())
                self._found[leaf.untyped_storage().data_ptr()] = content, content
                self._made.append(leaf)

    @torch.inference_mode()  # some of the tensors may be of it
    def end_capture(self) -> None:
        """All memory is as the capture found it."""
        for content, before in self._found.values():
            content.copy_(before)
        for made in self._made:
            poison(made)
        self._found.clear()
        self._made.clear()

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
    torch.cuda.synchronize()
    graph.gpu, gpu.captured = gpu, graph
    launched, gpu.kernels, random_state = gpu.kernels, Counter(), gpu.random_state
    cuda_runtime.set_capturing(True)
    try:
        yield
    finally:
        cuda_runtime.set_capturing(False)
        gpu.captured, graph.kernels, gpu.kernels = None, gpu.kernels, launched
        gpu.random_state = random_state
        graph.end_capture()
