"""The data loader of all trials: a data set resident on the device, loaded once per process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from trainables.data.batches import Pixels, plain_batches, spans, training_batches
from trainables.data.data_set import DataSet
from trainables.data.loader_interface import Augment, Batch, Loader, Split
from trainables.data.prepared import load_data_set

# Images: what fits the caches of a CPU, and what keeps a GPU of 16 GB busy with any network here.
EVALUATION_BATCH = {"cpu": 250, "cuda": 1000}


class TestSetWithheld(RuntimeError):
    """A trial that may not read the test set tried to."""

    __test__ = False  # pytest takes classes of such names for tests


@dataclass(frozen=True, eq=False)
class ResidentLoader:
    """Images on the device, see `Loader`: `data` for evaluation and draws, `pixels` padded for
    training.

    withheld: whether the test images have been taken out.
    """

    data: DataSet
    pixels: Pixels
    withheld: bool = False

    def without_test_set(self) -> "ResidentLoader":
        """The same images without those of the test split: reading them is an error."""
        data = replace(self.data, test_x=self.data.test_x[:0], test_y=self.data.test_y[:0])
        return replace(self, data=data, withheld=True)

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return len(self.data.images(split)[1])

    def batches_per_epoch(self, batch: int) -> int:
        """Optimiser steps of one epoch with that batch size."""
        return len(spans(len(self.data.train_x), batch))

    def training_batches(
        self, *, batch: int, augment: Augment, generator: torch.Generator, skip: int = 0
    ) -> Iterator[Batch]:
        """One epoch of the training images in random order, augmented."""
        return training_batches(
            self.pixels, batch=batch, augment=augment, generator=generator, skip=skip
        )

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All images of a split in order, not augmented; no batch where the split is empty.

        Raises:
            TestSetWithheld: the test split is not for this trial.
        """
        if split == "test" and self.withheld:
            raise TestSetWithheld(
                "the test set must not be read in a search, but this trial asked for it"
            )
        x, y = self.data.images(split)
        batch = EVALUATION_BATCH[x.device.type]
        return plain_batches(x, y, mean=self.data.mean, std=self.data.std, batch=batch)

    def draw(self, count: int, *, batch: int, generator: torch.Generator) -> Iterator[Batch]:
        """`count` training images (all, if there are fewer) drawn without replacement, not
        augmented."""
        x, y = self.data.images("training")
        chosen = torch.randperm(len(x), generator=generator)[:count].to(x.device)
        return plain_batches(
            x[chosen], y[chosen], mean=self.data.mean, std=self.data.std, batch=batch
        )


def make_loader(
    dataset: str,
    data_dir: str | None,
    cache: str | None,
    *,
    hold_out: bool,
    test: bool,
    device: str,
) -> Loader:
    """The loader of a trial's data set on its device; the images are loaded once per process.

    Args:
        hold_out: keep the validation images out of the training split.
        test: whether the trial may read the test set.

    Raises:
        UserError: see `load_data_set`.
    """
    loader = _load_resident(dataset, data_dir, cache, hold_out, device)
    return loader if test else loader.without_test_set()


@lru_cache(maxsize=2)
def _load_resident(
    dataset: str, data_dir: str | None, cache: str | None, hold_out: bool, device: str
) -> ResidentLoader:
    data = load_data_set(dataset, data_dir=data_dir, cache=cache)
    data = (data if hold_out else data.joined()).to(device)
    # The border for crops does no harm to a recipe without: it then takes the middle.
    pixels = Pixels.of(data.train_x, data.train_y, mean=data.mean, std=data.std, augment="crop")
    return ResidentLoader(data, pixels)
