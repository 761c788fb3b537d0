"""A data set resident on a device, shared by all trials of a process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from trainables.data.batches import Pixels, plain_batches, spans
from trainables.data.prepared import Data, obtain

# Images: what fits the caches of a CPU, and what keeps a GPU of 16 GB busy with any network here.
EVALUATION_BATCH = {"cpu": 250, "cuda": 1000}


class TestSetWithheld(RuntimeError):
    """A trial that may not read the test set asked for it."""

    __test__ = False  # pytest takes classes of such names for tests


@dataclass(frozen=True, eq=False)
class Resident:
    """Images on the device: `data` for evaluation and calibration, `pixels` padded for training.

    withheld: whether the test images have been taken out.
    """

    data: Data
    pixels: Pixels
    withheld: bool = False

    def withhold(self) -> "Resident":
        """The same images without those of the test split: asking for them is an error."""
        data = replace(self.data, test_x=self.data.test_x[:0], test_y=self.data.test_y[:0])
        return replace(self, data=data, withheld=True)

    def batches_per_epoch(self, batch: int) -> int:
        """Optimiser steps of one epoch."""
        return len(spans(len(self.data.train_x), batch))

    def evaluation(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """All images of the "validation" or the "test" split in order, normalised; nothing where
        the split is empty.

        Raises:
            TestSetWithheld: the test split is not for this trial.
        """
        if split == "test" and self.withheld:
            raise TestSetWithheld(
                "the test set must not be read in a search, but this trial asked for it"
            )
        x, y = (
            (self.data.val_x, self.data.val_y)
            if split == "validation"
            else (self.data.test_x, self.data.test_y)
        )
        return plain_batches(
            x, y, mean=self.data.mean, std=self.data.std, batch=EVALUATION_BATCH[x.device.type]
        )

    def draw(
        self, count: int, *, batch: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` training images (all, if there are fewer) drawn without replacement, normalised,
        not augmented."""
        chosen = torch.randperm(len(self.data.train_x), generator=generator)[:count].to(
            self.data.train_x.device
        )
        x, y = self.data.train_x[chosen], self.data.train_y[chosen]
        return plain_batches(x, y, mean=self.data.mean, std=self.data.std, batch=batch)


@lru_cache(maxsize=2)
def resident(
    dataset: str, data_dir: str | None, cache: str | None, hold_out: bool, device: str
) -> Resident:
    """A data set on a device, loaded once per process; without `hold_out` the validation images
    train too."""
    data = obtain(dataset, data_dir=data_dir, cache=cache)
    data = (data if hold_out else data.joined()).to(device)
    # The border for crops does no harm to a recipe without: it then takes the middle.
    return Resident(
        data, Pixels.of(data.train_x, data.train_y, mean=data.mean, std=data.std, augment="crop")
    )
