"""Early stopping, seen from afterwards: a training runs to its end, and its row says at which
iteration its validation loss was smallest and what the network of that moment answers on the test
set."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

from torch import Tensor

from trainables.data.loader_interface import Loader
from trainables.network import Network
from trainables.trial_records import TrialRecords

SPLIT = "validation_by_iteration"  # of the rows that this adds to the curves


@dataclass
class EarlyStopping:
    """Evaluates the network of a training on the validation images every so many iterations, and
    keeps its weights where the loss is the smallest so far, the first of equal ones.

    An iteration is an optimiser step; iterations are counted from the start of the recipe, also in
    a training that begins later in it. All of it is in the records, so in every checkpoint.

    every: iterations between two evaluations. iteration: the last one that is done. same: columns
    that the rows of the curves share. seconds: that the evaluations have taken here.
    """

    network: Network
    loader: Loader
    records: TrialRecords
    every: int
    iteration: int
    same: Mapping[str, Any]
    seconds: float = field(default=0.0, init=False)

    def take_seconds(self) -> float:
        """Seconds that the evaluations have taken since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def count(self) -> None:
        """Count an iteration; evaluate if it is time. The model is in train mode afterwards."""
        self.iteration += 1
        if self.iteration % self.every:
            return
        began = time.perf_counter()
        network, records = self.network, self.records
        if validation := network.evaluate(self.loader.evaluation_batches("validation")):
            numbers = {"loss": validation.loss, "top1": validation.top1}
            place = {**self.same, "split": SPLIT, "iteration": self.iteration}
            records.curves.append({**place, "lr": None, **numbers})
            best = records.early_stop
            if isfinite(validation.loss) and (best is None or validation.loss < best["loss"]):
                with network.average.in_model() if network.average else nullcontext():
                    weights = network.copy_weights()
                records.early_stop = {"iteration": self.iteration, **numbers, "weights": weights}
        network.model.train()
        self.seconds += time.perf_counter() - began


def count_iterations(epochs: Sequence[tuple[int, int]], batches_done: int) -> int:
    """Optimiser steps of a training up to a batch of its last epoch.

    Args:
        epochs: of each epoch so far, its batches and how many of them an optimiser step takes.
        batches_done: of the last of them.
    """
    *whole, (_, accumulate) = epochs
    return sum(ceil(batches / of_step) for batches, of_step in whole) + batches_done // accumulate


def describe_early_stop(
    network: Network, loader: Loader, records: TrialRecords, *, test: bool
) -> dict[str, Any]:
    """The columns of the row that say when the last training would have stopped early; all null
    where it was not evaluated by iteration.

    Args:
        test: whether the test set may be read; it is, once.
    """
    best = records.early_stop
    accuracy = None
    if best and test:
        with _with_weights(network, best["weights"]):
            accuracy = network.evaluate(loader.evaluation_batches("test"))
    return {
        "early_stop_iteration": best["iteration"] if best else None,
        "early_stop_val_loss": best["loss"] if best else None,
        "early_stop_test_top1": accuracy.top1 if accuracy else None,
    }


@contextmanager
def _with_weights(network: Network, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with other weights and buffers, of the same shapes, inside the block."""
    present = network.copy_weights()
    network.model.load_state_dict(weights)
    try:
        yield
    finally:
        network.model.load_state_dict(present)
