"""The calls of a method: what it is given, and what its answer does to the network; the same in a
trial and in `pruning.prune`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pruning.method import Method, PruneInput
from pruning.method_answers import leaving_gradients
from pruning.pruned_network import PrunedNetwork
from pruning.seeds import make_generator
from pruning.structured.keep_plan import Smaller

# Whatever the batch of the training: what a method computes per batch, as Taylor's mean over
# batches or Wanda's batch statistics, must not depend on how the network is trained.
IMAGE_BATCH = 128

Draw = Callable[[int, torch.Generator], Iterator[tuple[Tensor, Tensor]]]
"""`draw(n, generator)` yields batches of `IMAGE_BATCH` (x float [B, C, H, W], y int64 [B]) of n
images on the device, or of all there are; for generators in the same state the same ones."""


def make_prune_input(
    network: PrunedNetwork,
    sparsity: float | None,
    *,
    seed: int,
    purpose: str,
    number: int,
    draw: Draw,
    memory: dict[str, Tensor],
    level: int = 1,
    last: bool = True,
    progress: float = 0.0,
    interval: float = 0.0,
) -> PruneInput:
    """The input of one call of a method.

    Args:
        purpose, number: name the random numbers of this call: "prune" and the level, or "update"
            and the optimiser step. Its images have random numbers of their own.
        memory: of the method, see `PruneInput`; brought to the device, in place.
    """
    # What a checkpoint held lies on the CPU, wherever it was written.
    memory.update({name: value.to(network.device) for name, value in memory.items()})
    return PruneInput(
        model=network.model,
        masks=network.masks,
        sparsity=sparsity,
        level=level,
        generator=make_generator(seed, purpose, number),
        images=lambda count: draw(count, make_generator(seed, "images", purpose, number)),
        image=network.image,
        last=last,
        fixed=network.fixed_sparsities(sparsity),
        memory=memory,
        progress=progress,
        interval=interval,
    )


def prune_network(network: PrunedNetwork, method: Method, inputs: PruneInput) -> None:
    """Let a method prune the network once: masks are set, or channels removed. The network that was
    given is in eval mode afterwards."""
    network.model.eval()
    with leaving_gradients(network.model):
        pruned = method.prune(inputs)
    if isinstance(pruned, Smaller):
        network.shrink(pruned.keep)
    else:
        network.set_masks(pruned)


@dataclass(frozen=True)
class MaskUpdates:
    """When a method changes masks inside a training of `total` optimiser steps, and the change.

    make_input: makes the method's input; it is called with the step and, by name, `progress` and
    `interval`. set_masks: takes new masks. add_notes: takes the method's notes.
    """

    method: Method
    total: int
    make_input: Callable[..., PruneInput]
    set_masks: Callable[[Mapping[str, Tensor]], None]
    add_notes: Callable[[list[str]], None]
    every: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", self.method.interval(self.total))

    def is_due(self, step: int) -> bool:
        """Whether the method is asked before optimiser step number `step`, from 0."""
        return step % self.every == 0

    def update(self, step: int) -> bool:
        """What comes before optimiser step number `step` of the training, from 0, when the
        gradients are there; returns whether there are new masks."""
        if not self.is_due(step):
            return False
        inputs = self.make_input(step, progress=step / self.total, interval=self.every / self.total)
        masks = self.method.update(inputs)
        self.add_notes(inputs.notes)
        if masks is None:
            return False
        self.set_masks(masks)
        return True
