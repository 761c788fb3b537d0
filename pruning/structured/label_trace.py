"""The forward pass, operation by operation, with the labels of every tensor's channels.

PyTorch's own dispatch shows each operation below `torch.fx`, control flow and functional calls
included, so that whatever runs can be followed. What an operation does to labels is said in
`operation_rules`; an operation without a rule locks the labels it reads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from pruning.structured.channel_labels import Ids, Labels, Note, Origin, Ties

Watcher = Callable[[Any, Tensor, Note], None]
"""Is given each operation, its result and the result's labels."""

LabelOutputs = Callable[..., list[Note]]
"""Returns the labels of an operation's outputs, see `operation_rules.label_outputs`."""


class Trace(TorchDispatchMode):
    """While it is active, notes the labels of every tensor that is computed.

    Args:
        model: the network that will run; its modules get hooks, so it must be a copy.
        label_outputs: the rules of all operations.
        watcher: see `Watcher`.
    """

    def __init__(
        self, model: nn.Module, label_outputs: LabelOutputs, watcher: Watcher | None = None
    ) -> None:
        super().__init__()
        self.ties = Ties()
        self.stack: list[tuple[str, nn.Module]] = []  # the modules that are running
        self.watcher = watcher
        self._label_outputs = label_outputs
        self.labels: dict[Origin, Ids] = {}  # of all parameters and buffers
        self._notes: MutableMapping[Tensor, Note] = WeakTensorKeyDictionary()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self._notes[tensor] = self._fresh(name, tensor)
        for name, module in model.named_modules():
            module.register_forward_pre_hook(self._enter(name))
            module.register_forward_hook(self._leave)

    def note_of(self, value: object) -> Note:
        """The labels of a tensor; none where nothing is known or it is no tensor."""
        return self._notes.get(value, ()) if isinstance(value, Tensor) else ()

    @property
    def module(self) -> str:
        """Name of the module that is running."""
        return self.stack[-1][0] if self.stack else ""

    def where(self, func: Any) -> str:
        """The running layer, or the operation in it, as an error line names it."""
        name, module = self.stack[-1] if self.stack else ("", None)
        kind = type(module).__name__ if module is not None else "network"
        operation = func.overloadpacket.__name__.strip("_")
        return f"layer '{name}' ({kind})" if name else f"'{operation}' in the network ({kind})"

    def where_now(self) -> str:
        """The running layer, as an error line names it."""
        name, module = self.stack[-1] if self.stack else ("", None)
        return f"layer '{name}' ({type(module).__name__})" if name else "the network"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, tuple | list) else [result]
        notes = self._label_outputs(self, func, args, kwargs or {}, outputs)
        for output, note in zip(outputs, notes, strict=True):
            if isinstance(output, Tensor):
                self._notes[output] = note
                if self.watcher is not None:
                    self.watcher(func, output, note)
        return result

    def _fresh(self, name: str, tensor: Tensor) -> Note:
        labels = []
        for dim, size in enumerate(tensor.shape):
            if size > 1:
                shape = [1] * tensor.dim()
                shape[dim] = size
                self.labels[name, dim] = self.ties.new(size)
                labels.append(Labels(self.labels[name, dim].reshape(shape), True, (name, dim)))
        return tuple(labels)

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, _inputs: object) -> None:
            self.stack.append((name, module))

        return enter

    def _leave(self, _module: nn.Module, _inputs: object, _output: object) -> None:
        self.stack.pop()


def without_storage(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device; the weights themselves are never copied."""
    twins: dict[int, object] = {}
    for parameter in model.parameters():
        twins[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), parameter.requires_grad
        )
    for buffer in model.buffers():
        twins[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, twins).eval()


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention in its plain operations, without gradients."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def with_storage(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU; one of a network without storage has random parameters."""
    twin = copy.deepcopy(model)
    if not any(tensor.is_meta for tensor in (*twin.parameters(), *twin.buffers())):
        return twin.cpu().eval()
    twin.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        for buffer in twin.buffers():
            buffer.fill_(1)  # a running variance, or an index that every dimension has
    return twin.eval()


def example(model: nn.Module, image: tuple[int, int, int]) -> Tensor:
    """Two images, on the device and in the precision of the model's first parameter.

    Two: with one, a reshape over the batch would look like one that leaves it alone.
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    if like.is_meta:
        return torch.empty(2, *image, device="meta", dtype=like.dtype)
    return torch.rand(2, *image, generator=torch.Generator().manual_seed(0)).to(like)


def squeeze_constant(ids: np.ndarray) -> np.ndarray:
    """Labels without the dimensions along which they do not vary (of size 1 in their place)."""
    for dim, size in enumerate(ids.shape):
        if size > 1 and (ids == ids.take([0], axis=dim)).all():
            ids = ids.take([0], axis=dim)
    return ids
