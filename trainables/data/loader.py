"""The data loaders of all trials: a data set resident on the device, loaded once per process, or
images that are brought there batch by batch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor

from pruning.user_error import UserError
from trainables.data.augment_names import find_own_functions, import_own_function, names_of
from trainables.data.batch_maker import BatchMaker, Job
from trainables.data.batch_part import WHOLE, BatchPart
from trainables.data.batches import Pixels, border, plain_batches, spans, training_batches
from trainables.data.image_loader import ImageLoader
from trainables.data.image_mode import (
    ImageBytes,
    ImageChoice,
    ImageMode,
    choose_image_mode,
    measure_room,
)
from trainables.data.image_source import sizes_differ
from trainables.data.loader_interface import (
    Augment,
    Batch,
    DataSetInfo,
    Loader,
    MeanStd,
    Split,
    TestSetWithheld,
    evaluation_batch,
)
from trainables.data.prepared import load_data_set, open_prepared
from trainables.data.prepared_data import PreparedData
from trainables.data.worker_pool import WorkerPool

SPLITS: tuple[Split, ...] = ("training", "validation", "test")


@dataclass(eq=False)
class ResidentLoader:
    """Images on the device, see `Loader`.

    images: uint8 [N, H, W, C] and labels int64 [N] by split, for evaluation and draws. pixels:
    those of training, padded. withheld: whether the test images have been taken out. part: what
    its batches of training and evaluation are of the whole ones.
    """

    data: DataSetInfo
    images: Mapping[Split, tuple[Tensor, Tensor]]
    pixels: Pixels
    withheld: bool = False
    placement: str = ""
    part: BatchPart = WHOLE

    @classmethod
    def of(
        cls, data: DataSetInfo, images: Mapping[Split, tuple[Tensor, Tensor]]
    ) -> "ResidentLoader":
        """A loader of images that are on their device."""
        x, y = images["training"]
        # The border for crops does no harm to a recipe without: it then takes the middle.
        return cls(data, images, Pixels.of(x, y, mean=data.mean, std=data.std, augment="crop"))

    def of_part(self, part: BatchPart) -> "ResidentLoader":
        """The same images, of which batches of training and evaluation are a part."""
        return replace(self, part=part)

    def without_test_set(self) -> "ResidentLoader":
        """The same images without those of the test split: reading them is an error."""
        x, y = self.images["test"]
        return replace(self, images={**self.images, "test": (x[:0], y[:0])}, withheld=True)

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return len(self.images[split][1])

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

        Raises:
            ValueError: an augmentation that is not made of crops and flips alone.
        """
        return training_batches(
            self.pixels,
            batch=batch,
            augment=augment,
            generator=generator,
            skip=skip,
            part=self.part,
            before=before,
        )

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All images of a split in order, not augmented; no batch where the split is empty.

        Raises:
            TestSetWithheld: the test split is not for this trial.
        """
        if split == "test" and self.withheld:
            raise TestSetWithheld
        x, y = self.images[split]
        batch = evaluation_batch(x.device.type, self.data.image)
        whole = plain_batches(x, y, mean=self.data.mean, std=self.data.std, batch=batch)
        return islice(whole, self.part.rank, None, self.part.ranks)

    def draw(self, count: int, *, batch: int, generator: torch.Generator) -> Iterator[Batch]:
        """`count` training images (all, if there are fewer) drawn without replacement, not
        augmented."""
        x, y = self.images["training"]
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
    image_size: int | None = None,
    images: ImageChoice = "auto",
    workers: int = 0,
    normalise: MeanStd | None = None,
    sharing: int = 1,
    augments: tuple[Augment, ...] = ("crop_flip",),
) -> Loader:
    """The loader of a trial's data set on its device. Images on the device are loaded once per
    process, and worker processes are started once.

    Args:
        hold_out: keep the validation images out of the training split.
        test: whether the trial may read the test set.
        image_size: height and width to which images are brought; None leaves them as they are.
        images: where they live while the trial runs, see `choose_image_mode`.
        workers: processes that make batches of images that are not on the device; 0: none, the
            trial makes them itself.
        normalise: mean and std per channel in 0..1, in place of the data's own.
        sharing: how many trials share the device.
        augments: of all recipes of the trial, that of its first training first. Images of
            evaluation are prepared as that one wants it: with resized_crop and `image_size`, they
            are the middle of images that are 256/224 as large.

    Raises:
        UserError: see `open_prepared` and `choose_image_mode`; images differ in size and
            `image_size` is not given; `normalise` does not fit the channels; or a function of the
            user is missing.
    """
    for name in find_own_functions(augments):
        import_own_function(name)
    source = _Source(dataset, data_dir, cache, hold_out, image_size, normalise)
    data = source.open()
    info = source.describe(data)
    room = measure_room(device, data.folder, sharing=sharing)
    mode, placement = choose_image_mode(images, _count_bytes(data, info), room, augments)
    loader: ResidentLoader | ImageLoader
    if mode == "resident":
        loader = _load_resident(source, device, workers)
    else:
        enlarged = image_size is not None and "resized_crop" in names_of(augments[0])
        loader = _open_images(source, device, workers, mode, enlarged)
    loader.placement = placement
    return loader if test else loader.without_test_set()


def describe_data(
    dataset: str,
    data_dir: str | None,
    *,
    hold_out: bool,
    image_size: int | None = None,
    normalise: MeanStd | None = None,
) -> DataSetInfo:
    """What is known of a trial's data set, see `make_loader`; it is prepared if it is not yet.

    Raises:
        UserError: see `make_loader`.
    """
    source = _Source(dataset, data_dir, None, hold_out, image_size, normalise)
    return source.describe(source.open())


@dataclass(frozen=True)
class _Source:
    """A data set in the form in which a trial wants it, see `make_loader`."""

    dataset: str
    data_dir: str | None
    cache: str | None
    hold_out: bool
    image_size: int | None
    normalise: MeanStd | None

    def open(self, *, pixels: bool = False) -> PreparedData:
        """The prepared data; with `pixels`, decoded on the disk, too."""
        data = open_prepared(self.dataset, data_dir=self.data_dir, cache=self.cache, pixels=pixels)
        return data if self.hold_out else data.joined()

    def describe(self, data: PreparedData) -> DataSetInfo:
        """What is known of the data in that form.

        Raises:
            UserError: the images differ in size and no size is given, or `normalise` does not fit.
        """
        if self.image_size is not None:
            image = (data.channels, self.image_size, self.image_size)
        elif data.image is not None:
            image = data.image
        else:
            raise UserError(sizes_differ(data.name, data.smallest, data.largest))
        mean, std = self.normalise or (data.mean, data.std)
        if not len(mean) == len(std) == data.channels:
            raise UserError(
                f"normalise needs a mean and a std for each of the {data.channels} channels of "
                f"'{data.name}', but has {len(mean)} and {len(std)}"
            )
        return DataSetInfo(
            name=data.name,
            classes=data.classes,
            image=image,
            mean=mean,
            std=std,
            digest=data.digest,
        )


def _count_bytes(data: PreparedData, info: DataSetInfo) -> ImageBytes:
    """How large a data set is in each form."""
    channels, height, width = info.image
    edge = 2 * border(height, width)
    padded = data.count("training") * channels * (height + edge) * (width + edge)
    plain = sum(map(data.count, SPLITS)) * channels * height * width
    decoding = 0 if data.has_pixels else data.decoded_bytes
    return ImageBytes(padded + plain, data.decoded_bytes, decoding)


@lru_cache(maxsize=2)
def _load_resident(source: _Source, device: str, workers: int) -> ResidentLoader:
    data = source.open()
    info = source.describe(data)
    if info.image == data.image:
        whole = load_data_set(source.dataset, data_dir=source.data_dir, cache=source.cache)
        whole = (whole if source.hold_out else whole.joined()).to(device)
        return ResidentLoader.of(info, {split: whole.images(split) for split in SPLITS})
    stored = {split: data.images(split, encoded=not data.has_pixels) for split in SPLITS}
    pool = WorkerPool(BatchMaker(stored, info.image[1:], info.mean), workers)
    images: dict[Split, tuple[Tensor, Tensor]] = {}
    for split in SPLITS:
        parts = torch.arange(data.count(split)).split(256)
        jobs = [Job(split, part.numpy()) for part in parts if len(part)]
        x = torch.empty(data.count(split), *info.image[1:], data.channels, dtype=torch.uint8)
        for job, batch in zip(jobs, pool.run(jobs), strict=True):
            x[int(job.indices[0]) : int(job.indices[-1]) + 1] = batch
        images[split] = x.to(device), stored[split].labels.to(device)
    pool.close()
    return ResidentLoader.of(info, images)


@lru_cache(maxsize=2)
def _open_images(
    source: _Source, device: str, workers: int, mode: ImageMode, enlarged: bool
) -> ImageLoader:
    data = source.open(pixels=mode == "mapped")
    info = source.describe(data)
    maker = BatchMaker(
        {split: data.images(split, encoded=mode == "streamed") for split in SPLITS},
        info.image[1:],
        info.mean,
        enlarged,
    )
    return ImageLoader(info, WorkerPool(maker, workers, pin=device == "cuda"), device)
