"""Augmentation of single images: sizes, the order of several, where random numbers come from."""

import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from tests.trainables.data.images_in_memory import MEAN, draw_images
from trainables.data.augmentation import fit, kept_random_state, make_transforms, seed_image
from trainables.data.loader_interface import Augment

torch.set_num_threads(1)
OWN = "tests.trainables.data.own_augmentations"
NAMES = ("resized_crop", "randaugment", "trivial_augment", "random_erasing", "crop_flip")


def augment_image(
    image: Tensor, augment: Augment, *, seed: int = 1, index: int = 0, size: int = 16
) -> Tensor:
    seed_image(seed, index)
    for transform in make_transforms(augment, (size, size), MEAN[: image.shape[0]]):
        image = transform(image)
    return image


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (16, 40), (8, 9), (100, 64)])
def test_images_are_fitted_as_torchvision_resizes_and_cuts(size: tuple[int, int]) -> None:
    (image,) = draw_images(1, size)
    usual = v2.Compose([v2.Resize(16, antialias=True), v2.CenterCrop(16)])
    assert torch.equal(fit(image, (16, 16)), usual(image))
    larger = v2.Compose([v2.Resize(round(16 * 256 / 224), antialias=True), v2.CenterCrop(16)])
    assert torch.equal(fit(image, (16, 16), enlarged=True), larger(image))


def test_an_image_that_has_its_size_stays_as_it_is() -> None:
    (image,) = draw_images(1, (16, 24))
    assert fit(image, (16, 24)) is image
    assert not torch.equal(fit(image, (16, 24), enlarged=True), image)


def test_a_resized_crop_is_that_of_torchvision() -> None:
    (image,) = draw_images(1, (40, 60))
    usual = v2.Compose(
        [
            v2.RandomResizedCrop(16, scale=(0.08, 1), ratio=(3 / 4, 4 / 3), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    for index in range(20):
        seed_image(5, index)
        expected = usual(image)
        assert torch.equal(augment_image(image, "resized_crop", seed=5, index=index), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "augment", [*NAMES, ("trivial_augment", "resized_crop", "random_erasing"), "crop", "none"]
)
def test_every_augmentation_gives_the_size_and_follows_seed_and_index(
    augment: Augment, channels: int
) -> None:
    (image,) = draw_images(1, (40, 60), channels=channels)
    before = image.clone()

    def repeat(seed: int) -> list[Tensor]:
        torch.rand(3)  # the global generator must not matter
        return [augment_image(image, augment, seed=seed, index=index) for index in range(12)]

    first, same, other = repeat(1), repeat(1), repeat(2)
    assert all(one.shape == (channels, 16, 16) and one.dtype == torch.uint8 for one in first)
    assert all(map(torch.equal, first, same))
    assert torch.equal(image, before)
    if augment != "none":
        assert not all(map(torch.equal, first, other))
        assert len({one.numpy().tobytes() for one in first}) > 3


def test_erased_pixels_have_the_mean() -> None:
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    for index in range(20):
        erased = augment_image(image, "random_erasing", index=index)
        if erased.any():
            break
    where = erased.bool().any(0)
    assert 0 < int(where.sum()) < 256
    expected = torch.tensor([round(255 * value) for value in MEAN], dtype=torch.uint8)
    assert torch.equal(erased[:, where], expected[:, None].expand(-1, int(where.sum())))


def test_what_sizes_an_image_is_given_the_image_as_it_is() -> None:
    (image,) = draw_images(1, (40, 60))
    assert torch.equal(augment_image(image, f"{OWN}:as_it_is"), image)
    flipped = augment_image(image, ("trivial_augment", f"{OWN}:as_it_is"))
    assert flipped.shape == image.shape
    # Without one, it is brought to its size first.
    seed_image(1, 0)
    expected = v2.TrivialAugmentWide()(fit(image, (16, 16)))
    assert torch.equal(augment_image(image, "trivial_augment"), expected)


def test_an_own_function_may_draw_from_any_generator() -> None:
    (image,) = draw_images(1, (40, 60))
    first, same = (augment_image(image, f"{OWN}:noisy", index=3) for _ in range(2))
    other = augment_image(image, f"{OWN}:noisy", index=4)
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_random_states_are_given_back_also_after_an_error() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with suppress(KeyError), kept_random_state():
        seed_image(9, 9)
        raise KeyError
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
