"""What lies on the pretended GPU: tensors, generators of random numbers, and events."""

from __future__ import annotations

import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

DEVICE = torch.device("cuda", 0)
HostGenerator = torch.Generator  # torch's own, before it is replaced


class DeviceTensor(torch.Tensor):
    """A tensor that says that it is on cuda:0; `numbers`, on the CPU, is what it holds."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers: Tensor) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not all(issubclass(DeviceTensor, kind) for kind in types):
            return NotImplemented
        raise RuntimeError(f"{func}: a tensor of the pretended GPU is used after it was left")

    @property
    def data(self) -> Tensor:
        """The same numbers without history."""
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, value: Any) -> None:
        torch.Tensor.data.__set__(self, value)
        self.numbers = value.numbers

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            copied._is_param = getattr(self, "_is_param", False)
            memo[id(self)] = copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as torch saves a tensor on cuda:0, and read as a plain one."""
        storage = torch.storage.TypedStorage(
            wrap_storage=self.numbers.untyped_storage(), dtype=self.dtype, _internal=True
        )
        view = self.storage_offset(), tuple(self.shape), self.stride()
        rebuild = torch._utils._rebuild_tensor_v2
        return rebuild, (storage, *view, self.requires_grad, OrderedDict())

    def untyped_storage(self) -> Any:
        """The memory, which views share as they do on a GPU."""
        return self.numbers.untyped_storage()

    def data_ptr(self) -> int:
        """Where it begins."""
        return self.numbers.data_ptr()

    def tolist(self) -> Any:
        """The numbers, for which the host waits."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refused as CUDA refuses it."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
            "to host memory first."
        )

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()

    def __repr__(self, **_: Any) -> str:
        return f"{self.numbers!r} on the pretended GPU"


class Generator(HostGenerator):
    """A generator that says that it is on the device for which it was made."""

    # By address, because the dispatcher hands out the generator of C++.
    on_device: weakref.WeakValueDictionary[int, Generator] = weakref.WeakValueDictionary()
    device = DEVICE

    def __new__(cls, device: Any = "cpu") -> Any:
        if torch.device(device).type != "cuda":
            return HostGenerator(device)
        made = super().__new__(cls)
        return cls.on_device.setdefault(made._cdata, made)


class Event:
    """A moment of the device; asked for its time before anybody waited for it, it refuses."""

    def __init__(self, wait: Callable[[str], None], enable_timing: bool = False, **_: Any) -> None:
        self._wait, self._timed, self._reached = wait, enable_timing, False
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        """Set the moment."""
        self._at, self._reached = time.perf_counter(), False

    def synchronize(self) -> None:
        """The host waits until the device is there."""
        self._wait("event")
        self._reached = True

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this moment to a later one."""
        if not (self._timed and end._timed and end._reached and self._at and end._at):
            raise RuntimeError("CUDA error: device not ready, or an event without timing")
        return 1000 * (end._at - self._at)


class Stream:
    """A queue of the device. There is one in truth, in which everything happens at once."""

    def __init__(self, device: Any = None, priority: int = 0, **_: Any) -> None:
        self.device, self.priority = DEVICE, priority

    def wait_stream(self, other: Stream) -> None:
        """The device, not the host, waits for another queue."""

    def wait_event(self, event: Event) -> None:
        """The device, not the host, waits for a moment."""


class Memory:
    """The memory of the device: `held` and `peak` in bytes of tensors, without the rounding of the
    allocator and without what cuDNN takes."""

    def __init__(self, total: int) -> None:
        self.total, self.held, self.peak, self.fraction = total, 0, 0, 1.0

    @property
    def limit(self) -> int:
        """What this process may take."""
        return int(self.fraction * self.total)

    def take(self, numbers: Tensor) -> DeviceTensor:
        """A tensor of the device with these numbers; their memory counts once, however many
        tensors view it, until the last of them is gone.

        Raises:
            torch.OutOfMemoryError: there is not so much left.
        """
        storage: Any = numbers.untyped_storage()
        if not getattr(storage, "on_device", False):
            size = storage.nbytes()
            if self.held + size > self.limit:
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU 0 has a "
                    f"total capacity of {self.total / 2**30:.2f} GiB of which "
                    f"{max(0, self.limit - self.held) / 2**20:.2f} MiB is free."
                )
            storage.on_device = True
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._release, size)
        return DeviceTensor(numbers)

    def _release(self, size: int) -> None:
        self.held -= size


def _location(storage: Any) -> str | None:
    """What torch.save writes as the place of a storage."""
    return "cuda:0" if getattr(storage, "on_device", False) else None


torch.serialization.register_package(0, _location, lambda storage, location: None)
