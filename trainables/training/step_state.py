"""All that a training step changes on the device: copied, put back, and compared bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainables.training.epoch import Epoch


@dataclass(frozen=True, eq=False)
class StepState:
    """Copies of the tensors that a step of an epoch changes, by name, and the states of the
    generators of random numbers: the device's, and those of the host that a network may use.

    What a network keeps elsewhere than in parameters and buffers is not among them.
    """

    epoch: Epoch
    copies: dict[str, Tensor]
    device_random: Tensor
    host_random: tuple[Any, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, epoch: Epoch) -> StepState:
        """The present state."""
        copies = {name: tensor.clone() for name, tensor in changed_tensors(epoch).items()}
        return cls(epoch, copies, torch.cuda.get_rng_state(epoch.device), _host_random_states())

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back, into the memory where it was."""
        tensors = changed_tensors(self.epoch)
        torch._foreach_copy_(list(tensors.values()), [self.copies[name] for name in tensors])
        torch.cuda.set_rng_state(self.device_random, self.epoch.device)
        _set_host_random_states(*self.host_random)

    def draws_on_host(self, later: StepState) -> bool:
        """Whether random numbers have been drawn on the host from here to a later state."""
        return repr(self.host_random) != repr(later.host_random)

    @torch.no_grad()
    def find_differences(self) -> list[str]:
        """The names of what is not now, bit for bit, what is copied here. The host waits for the
        device once."""
        tensors = changed_tensors(self.epoch)
        unequal = [
            (_bytes(tensor) != _bytes(self.copies[name])).any() for name, tensor in tensors.items()
        ]
        flags = torch.stack(unequal).tolist()
        names = [name for name, differs in zip(tensors, flags, strict=True) if differs]
        same = torch.equal(self.device_random, torch.cuda.get_rng_state(self.epoch.device))
        return names if same else [*names, "random numbers"]


def changed_tensors(epoch: Epoch) -> dict[str, Tensor]:
    """What a step of an epoch changes, without gradients: parameters, buffers, what the optimiser,
    the gradient scaler and the average of the weights hold, and the sums of loss and accuracy."""
    named: dict[str, Any] = dict(epoch.model.named_parameters())
    names = {id(parameter): name for name, parameter in named.items()}
    named |= epoch.model.named_buffers()
    for parameter, held in epoch.optimizer.state.items():
        named |= {f"{key} of {names.get(id(parameter))}": value for key, value in held.items()}
    scaler = epoch.scaler
    named |= {name: getattr(scaler, name, None) for name in ("_scale", "_growth_tracker")}
    if epoch.average:
        named |= {f"average of {name}": value for name, value in epoch.average.state().items()}
    named["loss"], named["correct"] = epoch.sums
    return {
        name: value.detach()
        for name, value in named.items()
        if isinstance(value, Tensor) and value.device.type == epoch.device.type
    }


def addresses(tensors: Iterable[Tensor]) -> tuple[tuple[Any, ...], ...]:
    """Where tensors lie, and how."""
    return tuple(
        (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        for tensor in tensors
    )


def _host_random_states() -> tuple[bytes, Any, tuple[Any, ...]]:
    """Of torch, Python and NumPy, plain: the last one's numbers are a list."""
    name, numbers, *rest = np.random.get_state()
    of_numpy = (name, np.asarray(numbers).tolist(), *rest)
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), of_numpy


def _set_host_random_states(of_torch: bytes, of_python: Any, of_numpy: Any) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(of_torch), dtype=torch.uint8))
    random.setstate(of_python)
    np.random.set_state(of_numpy)


def _bytes(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, flat."""
    return tensor.reshape(-1).view(torch.uint8)
