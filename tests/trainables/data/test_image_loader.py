"""The loader of images that are not on the device, against the loader of those that are."""

from itertools import zip_longest

import pytest
import torch
from torch import Tensor

from tests.trainables.data.images_in_memory import MEAN, STD, describe, make_maker
from trainables.data.augmentation import fit
from trainables.data.batches import Pixels, plain_batches, training_batches
from trainables.data.image_loader import ImageLoader
from trainables.data.loader_interface import (
    Augment,
    Batch,
    TestSetWithheld,
    evaluation_batch,
)
from trainables.data.worker_pool import WorkerPool

torch.set_num_threads(1)


def make(count: int = 60, workers: int = 0) -> ImageLoader:
    maker = make_maker(count)
    return ImageLoader(describe(maker), WorkerPool(maker, workers), "cpu")


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(loader: ImageLoader, split: str = "training") -> tuple[Tensor, Tensor]:
    """The images as they would lie on the device."""
    images = loader.pool.maker.images[split]
    x = [fit(images.pixels(i), (16, 16)).permute(1, 2, 0) for i in range(len(images))]
    return torch.stack(x), images.labels


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    assert found
    for (x, y), (other, labels) in zip(found, expected, strict=True):
        assert torch.equal(x, other) and torch.equal(y, labels)
        assert x.stride() == other.stride() and x.dtype == torch.float32


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_batches_are_those_of_images_on_the_device(augment: str) -> None:
    loader = make(61)
    x, y = fitted(loader)
    pixels = Pixels.of(x, y, mean=MEAN, std=STD, augment="crop")
    arguments = {"batch": 20, "augment": augment}
    found = list(loader.training_batches(**arguments, generator=seeded()))
    assert [len(labels) for _, labels in found] == [20, 20, 21]
    assert loader.batches_per_epoch(20) == 3
    assert_equal(found, list(training_batches(pixels, **arguments, generator=seeded())))


@pytest.mark.parametrize("split", ["training", "validation", "test"])
def test_evaluation_and_draws_are_those_of_images_on_the_device(split: str) -> None:
    loader = make(300)
    x, y = fitted(loader, split)
    expected = plain_batches(x, y, mean=MEAN, std=STD, batch=evaluation_batch("cpu", (3, 16, 16)))
    assert_equal(list(loader.evaluation_batches(split)), list(expected))
    if split == "training":
        chosen = torch.randperm(300, generator=seeded())[:70]
        expected = plain_batches(x[chosen], y[chosen], mean=MEAN, std=STD, batch=32)
        drawn = list(loader.draw(70, batch=32, generator=seeded()))
        assert_equal(drawn, list(expected))
        assert sum(len(y) for _, y in loader.draw(999, batch=32, generator=seeded())) == 300


@pytest.mark.parametrize(
    "augment", ["crop_flip", "resized_crop", ("resized_crop", "trivial_augment", "random_erasing")]
)
def test_an_epoch_continues_at_any_batch_without_decoding_those_before(augment: Augment) -> None:
    loader = make(50)
    arguments = {"batch": 8, "augment": augment}
    whole = list(loader.training_batches(**arguments, generator=seeded()))
    decoded = loader.pool.maker.images["training"].decoded
    for skip in range(len(whole)):
        decoded.clear()
        rest = list(loader.training_batches(**arguments, generator=seeded(), skip=skip))
        assert_equal(rest, whole[skip:])
        assert len(decoded) == 50 - 8 * skip


def test_every_image_comes_once_and_differently_in_each_epoch() -> None:
    loader = make(50)
    first, second = (
        list(loader.training_batches(batch=50, augment="resized_crop", generator=seeded(seed)))
        for seed in (1, 2)
    )
    labels = loader.pool.maker.images["training"].labels
    for (_, y), *rest in (first, second):
        assert not rest and sorted(y.tolist()) == sorted(labels.tolist())
    assert not torch.equal(first[0][1], second[0][1])
    ordered = [
        x[torch.randperm(50, generator=seeded(seed)).argsort()]
        for seed, ((x, _),) in ((1, first), (2, second))
    ]
    assert all(not torch.equal(a, b) for a, b in zip_longest(*ordered))


def test_the_test_set_can_be_withheld() -> None:
    loader = make()
    withheld = loader.without_test_set()
    assert withheld.count("test") == 0 and loader.count("test") == 11
    assert withheld.pool is loader.pool
    with pytest.raises(TestSetWithheld, match="the test set must not be read in a search"):
        withheld.evaluation_batches("test")
    assert sum(len(y) for _, y in withheld.evaluation_batches("validation")) == 9


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    alone, helped = make(), make(workers=workers)
    augments = ("crop_flip", "resized_crop", ("resized_crop", "randaugment"))
    state = torch.get_rng_state()
    for augment in augments:
        for skip in (0, 2):
            found, expected = (
                list(
                    loader.training_batches(
                        batch=16, augment=augment, generator=seeded(), skip=skip
                    )
                )
                for loader in (helped, alone)
            )
            assert_equal(found, expected)
    assert_equal(list(helped.evaluation_batches("test")), list(alone.evaluation_batches("test")))
    assert torch.equal(torch.get_rng_state(), state)
    helped.pool.close()


def test_a_draw_in_the_midst_of_an_epoch_leaves_the_epoch_alone() -> None:
    loader, alone = make(workers=2), make()
    arguments = {"batch": 8, "augment": "resized_crop"}
    epoch = loader.training_batches(**arguments, generator=seeded())
    found = [next(epoch), next(epoch)]
    drawn = list(loader.draw(20, batch=8, generator=seeded(2)))
    found += list(epoch)
    assert_equal(found, list(alone.training_batches(**arguments, generator=seeded())))
    assert_equal(drawn, list(alone.draw(20, batch=8, generator=seeded(2))))
    loader.pool.close()
