"""A pretended GPU: code for CUDA runs and is checked on a machine without one.

    with PretendedGpu() as gpu:                     # an H200; `A100` and `T4` are below
        train(model.to("cuda"))
        with gpu.no_waits(): one_epoch()            # a wait in here is an error, where it happens
    print(gpu.report())                             # kernels, peak memory, waits, uploads by line

Tensors on "cuda" say that they are on cuda:0, and the CPU's kernels compute their numbers: a run
gives the CPU's numbers. What a GPU would refuse is refused in its words: tensors of two devices in
one operation, numpy of a device tensor, a CPU generator for numbers of the device, more memory
than there is. What would make it slow is counted by the line of code: waits of the host for the
device, uploads, kernels. Memory asked for without contents holds NaN. Dispatch, autograd and
autocast are torch's own for CUDA; only `torch.cuda` and what lies under it is imitated.

It cannot show speed, the numbers of cuDNN, cuBLAS and Triton or whether they repeat,
`torch.compile`, streams that overlap, nor kernels of attention. Of CUDA graphs it shows what
`graphs.py` says. It works in processes that
`cuda_process` starts.
"""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves, tree_map

from tests.pretended_gpu import cuda_runtime
from tests.pretended_gpu.device_tensor import DeviceTensor, HostGenerator, Memory
from tests.pretended_gpu.graphs import REFUSED, Graph
from tests.pretended_gpu.operations import (
    COPIES,
    INDEXING,
    SUBSTITUTES,
    copies_down,
    count_kernels,
    find_fault,
    find_wait,
    is_unordered,
    poison,
)
from tests.pretended_gpu.torch_cuda import replacements

HERE = os.path.dirname(os.path.abspath(__file__))
NOT_A_PLACE = {os.path.join(HERE, name) for name in os.listdir(HERE) if "test_" not in name}


class Model(NamedTuple):
    """A GPU by its name, compute capability and bytes of memory."""

    name: str
    capability: tuple[int, int]
    memory: int


H200 = Model("NVIDIA H200", (9, 0), 141 * 10**9)
A100 = Model("NVIDIA A100-SXM4-40GB", (8, 0), 40 * 2**30)
T4 = Model("Tesla T4", (7, 5), 16 * 2**30)


class PretendedGpu(TorchDispatchMode):
    """A GPU for as long as `with` lasts; torch sees no GPU before and after.

    kernels: by operation, a lower bound. waits, uploads, unordered: by what and where, the last are
    sums without a fixed order. All count since the last `clear`. memory: what tensors take.

    Args:
        poison: whether memory without contents holds NaN, and for whole numbers the largest.

    Raises:
        RuntimeError: on entering, in a process that `cuda_process` did not start.
    """

    def __init__(self, model: Model = H200, *, memory: int = 0, poison: bool = True) -> None:
        super().__init__()
        self.name, self.capability = model.name, model.capability
        self.memory, self.poison = Memory(memory or model.memory), poison
        self.seed(0)
        self._waits_are_errors, self._entered = False, ExitStack()
        self.captured: Graph | None = None  # the CUDA graph that is being captured
        self.clear()

    def __enter__(self) -> PretendedGpu:
        if not cuda_runtime.is_loaded():
            raise RuntimeError("a pretended GPU works in tests with @in_cuda_process")
        # The backward pass runs in this thread, so that its lines are known.
        self._entered.enter_context(torch.autograd.set_multithreading_enabled(False))
        # torch.tensor(..., device="cuda") shall come by here, too.
        self._entered.callback(
            torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors()
        )
        torch._C._set_only_lift_cpu_tensors(True)
        for replacement in replacements(self):
            self._entered.enter_context(replacement)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._entered.close()

    def seed(self, seed: int) -> None:
        """Seed the random numbers of the device."""
        self.random_state = HostGenerator().manual_seed(seed).get_state()

    # What was seen

    def clear(self) -> None:
        """Count from here on."""
        self.kernels: Counter[str] = Counter()
        self.waits, self.uploads, self.unordered = Counter[Any](), Counter[Any](), Counter[Any]()

    def report(self, most: int = 12) -> str:
        """What was counted, as lines: the most frequent first."""
        peak = self.memory.peak / 2**20
        lines = [f"{self.name}: {self.kernels.total():,} kernels or more, peak {peak:,.1f} MiB"]
        counted = {"waits": self.waits, "uploads": self.uploads, "unordered": self.unordered}
        for title, counts in counted.items():
            for (what, place), count in counts.most_common(most):
                lines.append(f"  {count:6,} {title:9} {what} at {place}")
        return "\n".join(lines)

    @contextmanager
    def no_waits(self) -> Iterator[None]:
        """A wait for the device is an error in here, at the line that waits."""
        self._waits_are_errors = True
        try:
            yield
        finally:
            self._waits_are_errors = False

    def wait(self, what: str) -> None:
        """The host waits for the device."""
        if self.captured is not None:
            raise RuntimeError(f"{REFUSED} [{what}]")
        if self._waits_are_errors:
            raise RuntimeError(f"the host waits for the device: {what} at {_place()}")
        self.waits[what, _place()] += 1

    # What is done

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(is_traceable_wrapper_subclass(tensor) for tensor in tensors):
            return NotImplemented  # a sparse weight, say: it takes itself apart first
        device = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
        target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        on_device = target.type == "cuda" if target else bool(device)
        if not device and not on_device:
            return func(*args, **kwargs)
        if func._can_decompose():  # under another mode composite operations come as they are
            with self._active():
                if (answer := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return answer
        plain = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor)]
        host = [tensor for tensor in plain if tensor.device.type == "cpu"]
        self._look_at(func, args, kwargs, leaves, device, host, on_device)
        if target:
            kwargs["device"] = "cpu" if on_device else target
        kwargs.pop("pin_memory", None)
        return self._compute(func, args, kwargs, tensors, device, host, on_device)

    @contextmanager
    def _active(self) -> Iterator[None]:
        """Take part in operations that are called while one is dispatched."""
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _look_at(
        self,
        func: Any,
        args: Any,
        kwargs: Any,
        leaves: list[Any],
        device: list[Any],
        host: list[Tensor],
        on_device: bool,
    ) -> None:
        """Refuse what a GPU refuses, and count.

        Raises:
            RuntimeError: it refuses, or the host waits where it must not.
        """
        name = func.overloadpacket.__name__
        if fault := find_fault(func, name, args, leaves, device, host):
            raise RuntimeError(fault)
        if self.captured is not None and any(isinstance(x, HostGenerator) for x in leaves):
            raise RuntimeError(f"{REFUSED} [{name} by a generator that the graph does not know]")
        down = copies_down(func, args, device, on_device)
        up = func in COPIES and bool(host) and not down
        if up or (func in INDEXING and host):
            if self.captured is not None:
                raise RuntimeError(f"{REFUSED} [{name} from the host]")
            # Without non_blocking the host waits here, too, until it is copied.
            self.uploads[("copy" if up else "index"), _place()] += 1
        if is_unordered(name, args):
            self.unordered[name, _place()] += 1
        if what := find_wait(func, name, args, kwargs, down):
            self.wait(what)
        self.kernels[name] += count_kernels(func, name, args, moves=down or up)

    def _compute(
        self,
        func: Any,
        args: Any,
        kwargs: Any,
        tensors: list[Tensor],
        device: list[Any],
        host: list[Tensor],
        on_device: bool,
    ) -> Any:
        """The answer, by the CPU's kernels."""
        given = {id(tensor): tensor for tensor in host}
        given |= {id(tensor.numbers): tensor for tensor in device}
        args, kwargs = tree_map(
            lambda leaf: leaf.numbers if isinstance(leaf, DeviceTensor) else leaf, (args, kwargs)
        )

        def to_device(leaf: Any) -> Any:
            """What was written is what was given; all else is new on the device."""
            if not (on_device and isinstance(leaf, Tensor)):
                return leaf
            return given[id(leaf)] if id(leaf) in given else self.memory.take(leaf)

        # The view of a normal tensor is a normal tensor, in inference mode too.
        normal_view = func.is_view and not any(tensor.is_inference() for tensor in tensors)
        leave = torch.is_inference_mode_enabled() and normal_view
        with torch.inference_mode(False) if leave else nullcontext():
            if self.captured is not None:
                noted = self.captured.before(func, args, kwargs)
            with self.random_numbers(torch.Tag.nondeterministic_seeded in func.tags):
                answer = SUBSTITUTES.get(func, func)(*args, **kwargs)
            if self.captured is not None:
                self.captured.after(func, *noted, answer)
            if self.poison and on_device and "empty" in func.overloadpacket.__name__:
                poison(answer)
            return tree_map(to_device, answer)

    @contextmanager
    def random_numbers(self, drawn: bool) -> Iterator[None]:
        """Random numbers of the device do not come from the host's generator."""
        if not drawn:
            yield
            return
        before = torch.get_rng_state()
        torch.set_rng_state(self.random_state)
        try:
            yield
        finally:
            self.random_state = torch.get_rng_state()
            torch.set_rng_state(before)


def _place() -> str:
    """The innermost line that belongs to neither Python, nor installed packages, nor these
    files."""
    for frame in reversed(traceback.extract_stack()):
        file = frame.filename
        if file not in NOT_A_PLACE and not file.startswith("<") and "/lib/python" not in file:
            return f"{os.path.relpath(file)}:{frame.lineno} {frame.name}"
    return "?"
