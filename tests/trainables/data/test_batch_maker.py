"""Batches made image by image."""

import numpy as np
import pytest
import torch

from tests.trainables.data.images_in_memory import draw_images, hold_images, make_maker
from trainables.data.augmentation import fit
from trainables.data.batch_maker import BatchMaker, ImageFailed, Job
from trainables.data.batches import Pixels, draw_epoch, gather

torch.set_num_threads(1)
OWN = "tests.trainables.data.own_augmentations"


def job(*indices: int, augment: str | None = None, seed: int = 1) -> Job:
    return Job("training", np.array(indices), augment=augment, seed=seed)


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
@pytest.mark.parametrize("size", [(16, 16), (9, 12)])
def test_crops_and_flips_are_those_of_images_on_the_device(
    augment: str, size: tuple[int, int]
) -> None:
    images = draw_images(40, size)
    x = torch.stack([image.permute(1, 2, 0) for image in images])
    pixels = Pixels.of(x, torch.arange(40), mean=(0.0,) * 3, std=(1 / 255,) * 3, augment="crop")
    draws = draw_epoch(pixels, augment=augment, generator=torch.Generator().manual_seed(1))
    places = torch.stack([draws.top, draws.left, draws.flip.long()], dim=1).numpy()
    maker = BatchMaker({"training": hold_images(images)}, size, (0.5,) * 3)
    made = maker.make(Job("training", draws.order.numpy(), places=places))
    expected, _ = gather(pixels, draws.at(slice(0, 40)))
    assert torch.equal(made.permute(0, 3, 1, 2).float(), expected)


def test_an_image_does_not_depend_on_its_batch() -> None:
    maker = make_maker()
    together = maker.make(job(3, 8, 5, augment="resized_crop"))
    for place, index in enumerate((3, 8, 5)):
        assert torch.equal(maker.make(job(index, augment="resized_crop"))[0], together[place])
    assert together.shape == (3, 16, 16, 3) and together.dtype == torch.uint8


def test_images_of_evaluation_are_fitted() -> None:
    maker = make_maker()
    images = maker.images["training"]
    made = maker.make(job(4, 2))
    larger = BatchMaker(maker.images, maker.size, maker.mean, enlarged=True).make(job(4, 2))
    for place, index in enumerate((4, 2)):
        image = images.pixels(index)
        assert torch.equal(made[place], fit(image, (16, 16)).permute(1, 2, 0))
        assert torch.equal(larger[place], fit(image, (16, 16), enlarged=True).permute(1, 2, 0))


def test_global_random_states_stay() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    make_maker().make(job(1, 2, augment=f"{OWN}:noisy"))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_a_function_of_the_user_may_return_floats() -> None:
    made = make_maker().make(job(1, 2, augment=f"{OWN}:noisy"))
    assert made.dtype == torch.float32 and made.shape == (2, 16, 16, 3)
    assert float(made.min()) >= 0 and float(made.max()) <= 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("as_it_is", r"must return torch.uint8 \[3, 16, 16\], but returned torch.uint8 \[3, 2"),
        ("as_a_list", r"must return a tensor \[C, H, W\], not list"),
        ("as_double", r"must return uint8, or float32 in 0..1, not torch.float64"),
        ("raising", r"KeyError: 'no such\\ncolour'"),
    ],
)
def test_what_a_function_of_the_user_does_wrong_names_the_image(function: str, reason: str) -> None:
    maker, bad = make_maker(), job(7, augment=f"{OWN}:{function}")
    with pytest.raises(ImageFailed, match=f"training image 7: .*{reason}") as error:
        maker.make(bad)
    assert "\n" not in str(error.value)
    assert maker[bad] == str(error.value)


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    images = hold_images(draw_images(6, (16, 16)), broken=4)
    maker = BatchMaker({"training": images}, (16, 16), (0.5,) * 3)
    with pytest.raises(ImageFailed, match="training image 4: OSError: the file ends too early"):
        maker.make(job(3, 4, 5))


def test_a_worker_answers_with_an_array_where_it_must() -> None:
    maker = make_maker()
    by_pipe = Job("training", np.array([1, 2]), augment="crop_flip", seed=1, by_pipe=True)
    answer = maker[by_pipe]
    assert isinstance(answer, np.ndarray)
    assert torch.equal(torch.from_numpy(answer), maker.make(by_pipe))
