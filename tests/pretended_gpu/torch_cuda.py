"""What `torch.cuda` answers while the pretended GPU is there, and while it is not."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch._dynamo  # now, because it looks at what is replaced here
from torch import Tensor

from tests.pretended_gpu.device_tensor import DeviceTensor, Event, Generator, Stream
from tests.pretended_gpu.graphs import Graph, capturing

if TYPE_CHECKING:
    from tests.pretended_gpu.instrument import PretendedGpu


def hide_device() -> None:
    """Let torch say that there is no GPU although the runtime says that there is one."""
    torch.cuda.is_available = lambda: False
    torch.cuda.device_count = lambda: 0


def answers(gpu: PretendedGpu) -> dict[str, Any]:
    """By name in torch.cuda the functions and classes that speak of this GPU."""
    memory = gpu.memory
    properties = SimpleNamespace(
        name=gpu.name,
        major=gpu.capability[0],
        minor=gpu.capability[1],
        total_memory=memory.total,
        multi_processor_count=132,
        warp_size=32,
    )

    def reset_peak(device: Any = None) -> None:
        memory.peak = memory.held

    def set_fraction(fraction: float, device: Any = None) -> None:
        memory.fraction = fraction

    def set_random_state(state: Tensor, device: Any = "cuda") -> None:
        if isinstance(state, DeviceTensor):
            raise TypeError("RNG state must be a torch.ByteTensor")
        gpu.random_state = state.clone()

    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "is_current_stream_capturing": lambda: gpu.captured is not None,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_name": lambda device=None: gpu.name,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: gpu.capability,
        "is_bf16_supported": lambda including_emulation=True: (
            including_emulation or gpu.capability >= (8, 0)
        ),
        "synchronize": lambda device=None: gpu.wait("synchronize"),
        "empty_cache": lambda: None,
        "memory_allocated": lambda device=None: memory.held,
        "memory_reserved": lambda device=None: memory.held,
        "max_memory_allocated": lambda device=None: memory.peak,
        "reset_peak_memory_stats": reset_peak,
        "set_per_process_memory_fraction": set_fraction,
        "get_per_process_memory_fraction": lambda device=None: memory.fraction,
        "mem_get_info": lambda device=None: (memory.total - memory.held, memory.total),
        "manual_seed": gpu.seed,
        "manual_seed_all": gpu.seed,
        "get_rng_state": lambda device="cuda": gpu.random_state.clone(),
        "set_rng_state": set_random_state,
        "Stream": Stream,
        "current_stream": lambda device=None: Stream(),
        "default_stream": lambda device=None: Stream(),
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": Graph,
        "graph": partial(capturing, gpu),
        "Event": lambda enable_timing=False, **more: Event(gpu.wait, enable_timing, **more),
    }


def replacements(gpu: PretendedGpu) -> list[Any]:
    """The patches to enter, for as long as the GPU is there."""
    patches = [mock.patch.object(torch.cuda, name, new) for name, new in answers(gpu).items()]
    patches.append(mock.patch.object(torch, "Generator", Generator))
    # Pinned memory of the host shows in nothing but time.
    patches.append(mock.patch.object(Tensor, "pin_memory", lambda self, device=None: self.clone()))
    compatible = torch._has_compatible_shallow_copy_type

    def stays_on_its_device(old: Tensor, new: Tensor) -> bool:
        same = isinstance(old, DeviceTensor) == isinstance(new, DeviceTensor)
        return same and bool(compatible(old, new))

    # A module that is moved gets new parameters, as their old tensors cannot change their kind.
    patches.append(
        mock.patch.object(torch, "_has_compatible_shallow_copy_type", stays_on_its_device)
    )
    return patches
