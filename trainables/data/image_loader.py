"""The loader of images that do not lie on the device: batches are made image by image, by worker
processes ahead of the trial, and normalised on the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from trainables.data.augment_names import is_drawn_together
from trainables.data.batch_maker import Job
from trainables.data.batch_part import WHOLE, BatchPart
from trainables.data.batches import Normaliser, border, spans
from trainables.data.draws import draw_places
from trainables.data.loader_interface import (
    Augment,
    Batch,
    DataSetInfo,
    Split,
    TestSetWithheld,
    evaluation_batch,
)
from trainables.data.worker_pool import WorkerPool


@dataclass(eq=False)
class ImageLoader:
    """Images in memory shared by all trials of a machine, or encoded on its disk, see `Loader`.

    Its batches are, bit for bit on a CPU, those of images on the device where those can be made,
    whatever the number of workers.

    placement: where the images live, and why. withheld: whether the test images must not be read.
    part: what its batches of training and evaluation are of the whole ones.
    """

    data: DataSetInfo
    pool: WorkerPool
    device: str
    placement: str = ""
    withheld: bool = False
    part: BatchPart = WHOLE

    def of_part(self, part: BatchPart) -> "ImageLoader":
        """The same images, of which batches of training and evaluation are a part."""
        return replace(self, part=part)

    def without_test_set(self) -> "ImageLoader":
        """The same images; reading those of the test split is an error."""
        return replace(self, withheld=True)

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return 0 if split == "test" and self.withheld else len(self.pool.maker.images[split])

    def batches_per_epoch(self, batch: int) -> int:
        """Optimiser steps of one epoch with that batch size."""
        return len(spans(self.count("training"), batch))

    def training_batches(
        self,
        *,
        batch: int,
        augment: Augment,
        generator: torch.Generator,
        skip: int = 0,
        before: bool = False,
    ) -> Iterator[Batch]:
        """One epoch of the training images in random order, augmented.

        Order, crops and flips are drawn as for images on the device. Other augmentations draw for
        each image from a seed of the epoch, drawn after the order, and the image's index.
        """
        count, bounds = self.count("training"), spans(self.count("training"), batch)[skip:]
        parts = [self.part.places(start, stop, before=before) for start, stop in bounds]
        if is_drawn_together(augment):
            padding = border(*self.data.image[1:])
            draws = draw_places(count, padding, augment=augment, generator=generator)
            order = draws.order.numpy()
            places = torch.stack([draws.top, draws.left, draws.flip.long()], dim=1).numpy()
            jobs = [Job("training", order[own], places=places[own]) for own in parts]
        else:
            order = torch.randperm(count, generator=generator).numpy()
            seed = int(torch.randint(2**62, (), generator=generator))
            jobs = [Job("training", order[own], augment=augment, seed=seed) for own in parts]
        return self._serve("training", jobs, take_over=True)

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All images of a split in order, not augmented; no batch where the split is empty.

        Raises:
            TestSetWithheld: the test split is not for this trial.
        """
        if split == "test" and self.withheld:
            raise TestSetWithheld
        batch = evaluation_batch(self.device, self.data.image)
        order = torch.arange(self.count(split)).split(batch)
        jobs = [Job(split, places.numpy()) for places in order if len(places)]
        return self._serve(split, jobs[self.part.rank :: self.part.ranks])

    def draw(self, count: int, *, batch: int, generator: torch.Generator) -> Iterator[Batch]:
        """`count` training images (all, if there are fewer) drawn without replacement, not
        augmented."""
        chosen = torch.randperm(self.count("training"), generator=generator)[:count].split(batch)
        jobs = [Job("training", part.numpy()) for part in chosen if len(part)]
        return self._serve("training", jobs)

    @cached_property
    def _normaliser(self) -> Normaliser:
        info = self.data
        return Normaliser.of(info.mean, info.std, width=info.image[2], device=self.device)

    def _serve(
        self, split: Split, jobs: Sequence[Job], *, take_over: bool = False
    ) -> Iterator[Batch]:
        """The batches of some jobs on the device, normalised."""
        labels = self.pool.maker.images[split].labels
        made = self.pool.run(jobs, take_over=take_over)
        for job, x in zip(jobs, made, strict=True):
            y = labels[torch.from_numpy(job.indices)]
            yield self._normaliser(x.to(self.device, non_blocking=True)), y.to(self.device)
