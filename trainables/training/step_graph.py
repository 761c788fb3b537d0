"""A training step as one CUDA graph: the host then starts one kernel where it started some 250,
which took longer than computing them.

In the graph are the gather of the batch with crop, flip and normalisation, the forward and backward
pass, clipping, the fused optimiser step, masks, the average of the weights and the sums of loss and
accuracy. The host sets the place of the batch and the learning rate before each replay. Computed
eagerly, as without a graph, are a short last batch, steps that change masks, gradients accumulated
over batches, a momentum that changes with each step, and batches that do not lie on the device.

A graph must earn its trust: its first steps are also computed eagerly and compared bit for bit.
Where a capture fails or a step differs, the training goes on eagerly, as if there had been none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainables.data.batches import gather
from trainables.data.draws import Draws
from trainables.training.cast_weights import CastWeights
from trainables.training.precision import DTYPES
from trainables.training.step_state import StepState, addresses, changed_tensors

if TYPE_CHECKING:
    from pruning.held_masks import HeldMasks
    from trainables.data.batches import DrawnBatch
    from trainables.training.epoch import Epoch

WARM_UP = 3  # eager steps before a capture, in which libraries choose kernels and take memory
COMPARED = 2  # steps that are computed both ways
UNTIMED_STEPS = WARM_UP + COMPARED + 1  # before steps take the time that all later ones take


class StepGraph:
    """The graph of the steps of one training, on one device; it outlives the training's epochs.

    It is captured anew when anything moves that it has the address of, or a number changes that it
    holds: another network, optimiser or batch, masks elsewhere, another recipe. error: why steps
    are computed eagerly for good; empty while they need not be.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.error, self._casts = device, "", True
        self._stream: torch.cuda.Stream | None = None
        self._rate = torch.zeros((), device=device)
        self._start = torch.zeros((), device=device, dtype=torch.int64)
        self.forget()

    def forget(self) -> None:
        """Give the graph and its memory up: the training is over."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._facts: tuple[Any, ...] = ()
        self._epoch: Epoch | None = None
        self._held: HeldMasks | None = None
        self._draws: Draws | None = None  # that the graph reads
        self._places: Tensor | None = None
        self._sums: tuple[Tensor, Tensor] | None = None
        self._eager_steps = self._compared = 0

    def run(self, epoch: Epoch, batch: DrawnBatch) -> bool:
        """Do the next step of an epoch.

        Returns:
            Whether it is done; otherwise the epoch has to compute it eagerly.
        """
        if self.error or not self._can_hold(epoch, batch):
            return False
        if epoch is not self._epoch or epoch.held is not self._held:
            self._take_over(epoch, batch)
        if self._eager_steps < WARM_UP:
            self._eager_steps += 1
            epoch.step_on_host(lambda: self._compute(epoch, batch), len(batch))
        elif self._compared < COMPARED:
            epoch.step_on_host(lambda: self._compute_both_ways(epoch, batch), len(batch))
        else:
            epoch.step_on_host(lambda: self._replay(epoch, batch), len(batch))
        return True

    def _can_hold(self, epoch: Epoch, batch: DrawnBatch) -> bool:
        """Whether the next step is one like others."""
        changes_masks = epoch.update is not None and epoch.updates(epoch.index)
        changes_momentum = epoch.momentum is not None and epoch.momentum(0.0) is not None
        one_batch = epoch.accumulate == 1 and len(batch) == epoch.batch
        return one_batch and not changes_masks and not changes_momentum

    def _take_over(self, epoch: Epoch, batch: DrawnBatch) -> None:
        """Begin an epoch, with the graph of the one before where nothing of it has changed."""
        if self._sums:
            epoch.add_up_in(*self._sums)
        self._sums, self._epoch, self._held = epoch.sums, epoch, epoch.held
        if self._graph is None:
            return
        if self._facts != self._describe(epoch, batch):
            self._graph, self._eager_steps, self._compared, self._draws = None, 0, 0, None
            return
        assert self._draws is not None, "a graph reads draws"
        for read, new in zip(self._draws.tensors, batch.draws.tensors, strict=True):
            read.copy_(new)

    def _describe(self, epoch: Epoch, batch: DrawnBatch) -> tuple[Any, ...]:
        """All that a graph of this epoch's steps takes for granted."""
        held = addresses([*epoch.held.weights, *epoch.held.factors])
        groups = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in epoch.optimizer.param_groups
        ]
        numbers = (epoch.label_smoothing, epoch.clip, epoch.decay, epoch.precision, len(batch))
        objects = (epoch.model, epoch.forward, epoch.optimizer, epoch.scaler, batch.pixels)
        tensors = addresses(changed_tensors(epoch).values())
        return tensors, held, repr(groups), numbers, objects, batch.draws.plain

    def _compute(self, epoch: Epoch, batch: DrawnBatch) -> None:
        """The step eagerly, on the stream on which it will be captured: torch remembers on which
        one it first saw a weight."""
        self._stream = self._stream or torch.cuda.Stream(self.device)
        now = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            epoch.step_on_device(*batch.gather())
        now.wait_stream(self._stream)

    def _compute_both_ways(self, epoch: Epoch, batch: DrawnBatch) -> None:
        """The step eagerly, and then from the same start by the graph; what is eager counts."""
        before = StepState.of(epoch)
        self._compute(epoch, batch)
        eager = StepState.of(epoch)
        try:
            if before.draws_on_host(eager):
                raise RuntimeError("the network draws random numbers on the host")
            before.restore()
            if self._graph is None:
                self._capture(epoch, batch)
            self._replay(epoch, batch)
            differences = eager.find_differences()
            if differences and not self._cast_weights(epoch):
                listed = ", ".join(differences[:3])
                raise RuntimeError(f"a replayed step gives other bits in {listed}")
        except RuntimeError as error:
            self._give_up(epoch, error)
        else:
            self._compared += 1
            if differences:  # once more, with the weights cast by autocast
                self._casts, self._graph, self._compared = False, None, 0
        finally:
            eager.restore()

    def _capture(self, epoch: Epoch, batch: DrawnBatch) -> None:
        """
        Raises:
            RuntimeError: it cannot be captured, or there is no memory for it.
        """
        self._check_memory()
        self._draws = batch.draws.copy()
        facts, graph = self._describe(epoch, batch), torch.cuda.CUDAGraph()
        self._set_place(epoch, batch)
        places = torch.arange(len(batch), device=self.device)
        with (
            _rate_as_tensor(epoch.optimizer, self._rate),
            # Threads that load images may go on to ask CUDA for memory.
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            x, y = gather(batch.pixels, self._draws.at(self._start + places))
            epoch.step_on_device(x, y, self._cast_weights(epoch))
        self._graph, self._facts, self._places = graph, facts, places

    def _cast_weights(self, epoch: Epoch) -> CastWeights | None:
        """The forward pass with all weights cast at once, where autocast would do it one by one."""
        eager = self._casts and epoch.precision != "fp32" and epoch.forward is epoch.model
        return CastWeights(epoch.model, DTYPES[epoch.precision]) if eager else None

    def _check_memory(self) -> None:
        """A graph keeps the memory of a step for itself, and eager steps need as much again.

        Raises:
            RuntimeError: there is not so much.
        """
        peak, held = (
            count(self.device)
            for count in (torch.cuda.max_memory_allocated, torch.cuda.memory_allocated)
        )
        total = torch.cuda.get_device_properties(self.device).total_memory
        share = torch.cuda.get_per_process_memory_fraction(self.device)
        if 2 * peak - held > share * total:
            raise RuntimeError("the GPU has no memory for a second step")

    def _set_place(self, epoch: Epoch, batch: DrawnBatch) -> None:
        """Tell the graph which batch comes next, and the learning rate."""
        self._rate.fill_(epoch.optimizer.param_groups[0]["lr"])
        self._start.fill_(batch.start)

    def _replay(self, epoch: Epoch, batch: DrawnBatch) -> None:
        assert self._graph is not None, "a capture comes before a replay"
        self._set_place(epoch, batch)
        self._graph.replay()

    def _give_up(self, epoch: Epoch, error: RuntimeError) -> None:
        """Go on without a graph; what a failed capture has left behind goes."""
        reason = " ".join(str(error).partition("\n")[0].split())[:200]
        self.forget()
        self.error = f"trained without a CUDA graph: {reason}"
        torch.cuda.synchronize(self.device)
        epoch.optimizer.zero_grad(set_to_none=True)
        if epoch.scaler.is_enabled():  # else its next step were its second without an update
            epoch.scaler._per_optimizer_states.clear()


def make_step_graph(device: torch.device) -> StepGraph | None:
    """The graph of a trial's trainings; None on a CPU."""
    return StepGraph(device) if device.type == "cuda" else None


@contextmanager
def _rate_as_tensor(optimizer: torch.optim.Optimizer, rate: Tensor) -> Iterator[None]:
    """In here the optimiser reads its learning rate on the device; torch.optim wants to know where
    a step is captured."""
    before = [dict(group) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "capturable" in group:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, old in zip(optimizer.param_groups, before, strict=True):
            group.update({key: old[key] for key in ("lr", "capturable") if key in old})
