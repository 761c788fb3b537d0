"""The forward and backward pass of a training compiled by `torch.compile`, where that pays."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn
from torch._functorch import config as differentiation

from pruning.phases import Phase, Prune, Train

# Steps of a network from which on compiling pays: it takes half a minute and saves milliseconds a
# step.
STEPS = 20_000
COMPILERS = ("g++", "clang++", "c++")


def choose_compiled(
    requested: bool | Literal["auto"], model: nn.Module, *, steps: int, device: torch.device
) -> bool:
    """Whether a trial trains a compiled network; "auto" decides by counts and the machine, never by
    a clock.

    Convolutional networks are compiled from 20,000 optimiser steps on, where that is possible:
    `torch.compile` makes a step of ResNet-20 13 % shorter on a CPU with AMX (measured, one thread).
    On one without it a step was not shorter, and compiling took 35 s, so that it stays eager.

    Args:
        steps: optimiser steps of each network that the whole trial trains, see
            `count_trained_networks`, so that one that continues decides as it did.
    """
    if requested != "auto":
        return requested
    convolutions = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return convolutions and steps >= STEPS and can_compile(device) and _gains(device)


def _gains(device: torch.device) -> bool:
    """Whether compiled steps are shorter on this machine."""
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16"))


def count_trained_networks(phases: Sequence[Phase], *, smaller: bool) -> int:
    """How many networks a trial trains one after the other, each of which is compiled anew.

    Args:
        smaller: whether every prune removes channels, and so makes another network.
    """
    networks, trained = 0, False
    for phase in phases:
        if isinstance(phase, Prune) and smaller:
            trained = False
        elif isinstance(phase, Train) and phase.end > phase.start and not trained:
            networks, trained = networks + 1, True
    return max(1, networks)


def can_compile(device: torch.device) -> bool:
    """Whether there is what `torch.compile` needs: a C++ compiler, and for a GPU Triton."""
    return any(map(shutil.which, COMPILERS)) and (
        device.type == "cpu" or find_spec("triton") is not None
    )


def _choose_kernels_by_rule(device: torch.device) -> None:
    """On a GPU let the compiler, too, choose kernels by rule where this process does, and not by
    timing them, which may choose others when the trial is continued."""
    if device.type == "cuda":
        from torch._inductor import config as inductor

        inductor.deterministic = torch.are_deterministic_algorithms_enabled()


class CompiledForward:
    """The forward pass of one network in training: compiled for full batches, eager for others (a
    short last one).

    Every trial compiles anew, in seconds where the machine's cache on disk has it, so that what an
    earlier trial left behind in this process decides nothing.

    lenient: continue without compiling where that fails; `error` then says why. graphed: whether
    on a GPU it records CUDA graphs of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch: int,
        device: torch.device,
        lenient: bool,
        graphed: bool = True,
    ) -> None:
        torch.compiler.reset()
        self.model, self.batch, self.lenient, self.error = model, batch, lenient, ""
        self.graphed = graphed
        _choose_kernels_by_rule(device)
        # On a GPU this records CUDA graphs: eagerly, starting a step's small kernels takes longer
        # than running them.
        mode = "reduce-overhead" if graphed and device.type == "cuda" else "default"
        self._compiled: Callable[[Tensor], Tensor] = torch.compile(model, dynamic=False, mode=mode)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, C, H, W]."""
        if self.error or len(x) != self.batch:
            return self.model(x)  # type: ignore[no-any-return]
        try:
            # By itself torch compiles the backward pass when it first runs, where nobody could
            # continue without it.
            with differentiation.patch(force_non_lazy_backward_lowering=True):
                return self._compiled(x)
        except Exception as error:  # compilers fail in any way
            if not self.lenient:
                raise
            self.error = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            return self.model(x)  # type: ignore[no-any-return]
