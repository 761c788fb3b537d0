"""One epoch of training by several ranks: each computes its part of every batch, gradients are
added up before each optimiser step, and so all ranks take the same step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainables.data.batch_part import BatchPart
from trainables.training.epoch import Epoch, EpochResult
from trainables.training.ranks import Ranks
from trainables.training.recipe import Recipe
from trainables.training.synchronised_norm import SynchronisedNorm


class RankedEpoch(Epoch):
    """An epoch of which this process is one rank; see `Epoch`, whose `batches` are here this rank's
    parts.

    A batch that is too small to be divided is computed by every rank, and counts once. Buffers of
    the network, such as running statistics, are those of the first rank, where they do not come
    from all ranks anyway.

    Random numbers that the network draws (dropout) are of each rank's own: they, and the sums of
    the loss so far, are part of the state that the first rank saves. An epoch pauses between two
    optimiser steps only, where all else is equal at all ranks.

    Args:
        synchronised: whether batch-norm takes the statistics of the whole batch.
    """

    def __init__(self, *given: Any, ranks: Ranks, synchronised: bool, **options: Any) -> None:
        super().__init__(*given, **options)
        self.ranks, self._synchronised = ranks, synchronised
        self._of_all: list[dict[str, Any]] = []
        self._buffers, self._compared = self._find_own_buffers(), False
        paused = options.get("paused")
        if paused:
            self._restore(paused)
        elif not ranks.is_first:
            self._random = [ranks.derive_random_state(torch.get_rng_state())]

    def _find_own_buffers(self) -> list[Tensor]:
        """Buffers of floating point that a forward pass may change otherwise at each rank."""
        shared = {
            id(buffer)
            for module in self.model.modules()
            if self._synchronised and isinstance(module, nn.modules.batchnorm._BatchNorm)
            for buffer in module.buffers(recurse=False)
        }
        return [
            buffer
            for buffer in self.model.buffers()
            if buffer.is_floating_point() and id(buffer) not in shared
        ]

    def state(self) -> dict[str, Any]:
        """As of `Epoch`, with the sums of all ranks; `ranks` has what differs between them, as the
        last pause found it."""
        sums = {
            "loss_sum": torch.tensor(sum(part["loss_sum"] for part in self._of_all)),
            "correct": torch.tensor(sum(part["correct"] for part in self._of_all)),
        }
        return {**super().state(), **sums, "ranks": self._of_all}

    def _restore(self, paused: dict[str, Any]) -> None:
        """Take this rank's part of a state; where it was written by another number of ranks, the
        first takes all sums, and the others draw random numbers from the first one's."""
        of_all = paused.get("ranks", [])
        if len(of_all) == self.ranks.count:
            own, self._of_all = of_all[self.ranks.part.rank], of_all
            self._loss_sum = torch.full_like(self._loss_sum, own["loss_sum"])
            self._correct = torch.full_like(self._correct, own["correct"])
            self._random = own["random"]
        elif not self.ranks.is_first:
            self._loss_sum = torch.zeros_like(self._loss_sum)
            self._correct = torch.zeros_like(self._correct)
            self._random = [self.ranks.derive_random_state(paused["random"][0])]

    def train(self, pause: Callable[[], bool]) -> EpochResult | None:
        """As of `Epoch`; every rank must call it, and `pause` must answer the same at each."""
        result = super().train(lambda: self.index % self.accumulate == 0 and pause())
        if result is None:
            own = {
                "loss_sum": float(self._loss_sum),
                "correct": int(self._correct),
                "random": [state.numpy().tobytes() for state in self._random or []],
            }
            self._of_all = [
                {**of_one, "random": [_to_state(state) for state in of_one["random"]]}
                for of_one in self.ranks.gather(own) or []
            ]
        return result

    def _step(self, x: Tensor, y: Tensor) -> None:
        """One batch: forward, loss and backward of this rank's part, and the optimiser step that it
        completes."""
        step, position = divmod(self.index, self.accumulate)
        images = self._images_of_batch()
        divided = self.ranks.part.divides(images)
        of_step = images if self.accumulate == 1 else self._images_of_step(step)
        own = len(y) if divided else images / self.ranks.count
        with self._norm(images, divided):
            loss, logits = self._differentiate(x, y, begins=position == 0, share=own / of_step)
        self.ranks.copy_from_first(self._buffers)
        if position + 1 == self.accumulate or self.index + 1 == self.steps:
            self._add_up_gradients()
            self._optimise(step)
        if divided or self.ranks.is_first:
            self._add_up(loss, logits, y)
        self._seen += images
        self.index += 1
        if self.index == self.steps:
            self.ranks.add_up([self._loss_sum, self._correct])

    def _add_up_gradients(self) -> None:
        """Of the parameters that have one. Which these are must be the same at all ranks: it is
        compared in the first step of this process, since messages that do not fit would hang."""
        parameters = list(self.model.parameters())
        if not self._compared:
            present = "".join("01"[value.grad is not None] for value in parameters)
            self.ranks.check_equal("which parameters have gradients", present)
            self._compared = True
        self.ranks.add_up([value.grad for value in parameters if value.grad is not None])

    def _images_of_batch(self) -> int:
        """Images of the whole batch; the last one has all that are left."""
        whole = self.index + 1 < self.steps
        return self.batch if whole else self.images - self.batch * (self.steps - 1)

    def _norm(self, images: int, divided: bool) -> AbstractContextManager[Any]:
        """How batch-norm takes its statistics of a batch."""
        if not (divided and self._synchronised):
            return nullcontext()
        count = self.ranks.count
        spans = [BatchPart(rank, count).span(0, images) for rank in range(count)]
        return SynchronisedNorm(self.ranks, [stop - start for start, stop in spans])


def epoch_of(ranks: Ranks, recipe: Recipe) -> Callable[..., Epoch]:
    """What makes the epochs of a training by so many ranks; it is called as `Epoch` is."""
    if ranks.count == 1:
        return Epoch
    return partial(RankedEpoch, ranks=ranks, synchronised=recipe.sync_batch_norm)


def _to_state(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
