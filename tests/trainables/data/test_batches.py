"""Batches of images on a device.

Covers: trainables/data/batches.py, trainables/data/draws.py.
"""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from trainables.data.batches import (
    Pixels,
    draw_epoch,
    drawn_batches,
    gather,
    plain_batches,
    spans,
    training_batches,
)

torch.set_num_threads(1)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def draw_images(count: int, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(
        0, 256, (count, height, width, channels), dtype=torch.uint8, generator=generator
    )


def make_pixels(x: torch.Tensor, augment: str) -> Pixels:
    channels = x.shape[-1]
    return Pixels.of(
        x, torch.arange(len(x)), mean=MEAN[:channels], std=STD[:channels], augment=augment
    )  # type: ignore[arg-type]


def normalise(image: torch.Tensor) -> torch.Tensor:
    """One uint8 [H, W, C] as float [C, H, W], the textbook way."""
    channels = image.shape[-1]
    chw = image.permute(2, 0, 1).double() / 255
    return (
        (chw - torch.tensor(MEAN[:channels]).view(-1, 1, 1))
        / torch.tensor(STD[:channels]).view(-1, 1, 1)
    ).float()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
@pytest.mark.parametrize(
    ("height", "width", "channels", "padding"),
    [(32, 32, 3, 4), (28, 28, 1, 3), (8, 8, 1, 1), (16, 24, 3, 2)],
)
def test_crops_and_flips_equal_a_loop_over_images(augment, height, width, channels, padding):
    x = draw_images(50, height, width, channels)
    pixels = make_pixels(x, augment)
    draws = draw_epoch(pixels, augment=augment, generator=seeded(1))
    for start, stop in spans(50, 20):
        found, labels = gather(pixels, draws.at(slice(start, stop)))
        for place in range(start, stop):
            source = int(draws.order[place])
            image = functional.pad(x[source].permute(2, 0, 1), (padding,) * 4)
            top, left = (
                (int(draws.top[place]), int(draws.left[place]))
                if augment != "none"
                else (padding, padding)
            )
            image = image[:, top : top + height, left : left + width]
            if draws.flip[place]:
                image = image.flip(2)
            expected = normalise(image.permute(1, 2, 0))
            torch.testing.assert_close(found[place - start], expected, rtol=0, atol=2e-6)
            assert int(labels[place - start]) == source


def test_draws_reach_every_offset_and_both_directions():
    pixels = make_pixels(draw_images(4000, 8, 8, 1), "crop_flip")
    draws = draw_epoch(pixels, augment="crop_flip", generator=seeded(2))
    corners = draws.top * 3 + draws.left
    counts = torch.bincount(corners, minlength=9)
    assert counts.numel() == 9 and counts.min() > 4000 / 9 * 0.8
    assert abs(float(draws.flip.float().mean()) - 0.5) < 0.05
    assert not draw_epoch(pixels, augment="crop", generator=seeded(2)).flip.any()


def test_no_augmentation_takes_the_middle_of_padded_images():
    x = draw_images(10)
    padded = torch.cat(
        [
            b
            for b, _ in training_batches(
                make_pixels(x, "crop"), batch=4, augment="none", generator=seeded(3)
            )
        ]
    )
    plain = torch.cat(
        [
            b
            for b, _ in training_batches(
                make_pixels(x, "none"), batch=4, augment="none", generator=seeded(3)
            )
        ]
    )
    assert torch.equal(padded, plain)


def test_the_generator_alone_decides():
    pixels = make_pixels(draw_images(64), "crop_flip")

    def epoch(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        torch.rand(3)  # the global generator must not matter
        return list(training_batches(pixels, batch=16, augment="crop_flip", generator=seeded(seed)))

    first, same, other = epoch(5), epoch(5), epoch(6)
    assert all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
        for a, b in zip(first, same, strict=True)
    )
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_the_second_epoch_of_one_generator_differs():
    pixels, generator = make_pixels(draw_images(64), "none"), seeded(5)
    first, second = (
        torch.cat(
            [y for _, y in training_batches(pixels, batch=16, augment="none", generator=generator)]
        )
        for _ in range(2)
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("count", "batch"), [(50, 16), (49, 16), (48, 16), (5, 16), (1, 16), (3, 1), (17, 16), (1, 1)]
)
def test_every_image_comes_once_an_epoch(count, batch):
    pixels = make_pixels(draw_images(count, 8, 8, 1), "crop_flip")
    labels = [
        y
        for _, y in training_batches(pixels, batch=batch, augment="crop_flip", generator=seeded(7))
    ]
    assert sorted(torch.cat(labels).tolist()) == list(range(count))
    sizes = [len(y) for y in labels]
    assert all(size == batch for size in sizes[:-1])
    assert count == 1 or batch == 1 or min(sizes) > 1


@pytest.mark.parametrize(
    ("count", "batch", "drop_last", "sizes"),
    [
        (10, 4, False, [4, 4, 2]),
        (9, 4, False, [4, 5]),
        (8, 4, False, [4, 4]),
        (1, 4, False, [1]),
        (2, 1, False, [1, 1]),
        (0, 4, False, []),
        (10, 4, True, [4, 4]),
        (9, 4, True, [4, 4]),
        (8, 4, True, [4, 4]),
        (3, 4, True, []),
    ],
)
def test_spans_of_short_last_batches(count, batch, drop_last, sizes):
    found = spans(count, batch, drop_last=drop_last)
    assert [stop - start for start, stop in found] == sizes
    assert [start for start, _ in found] == [sum(sizes[:i]) for i in range(len(sizes))]
    if count:
        pixels = make_pixels(draw_images(count, 8, 8, 1), "none")
        batches = training_batches(
            pixels, batch=batch, augment="none", generator=seeded(1), drop_last=drop_last
        )
        assert [len(y) for _, y in batches] == sizes


def test_batches_are_channels_last_float32():
    x = draw_images(16)
    pixels = make_pixels(x, "crop_flip")
    batch, labels = next(
        training_batches(pixels, batch=8, augment="crop_flip", generator=seeded(1))
    )
    plain, _ = next(plain_batches(x, labels.repeat(2), mean=MEAN, std=STD, batch=8))
    for found in (batch, plain):
        assert found.shape == (8, 3, 32, 32) and found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert found.stride() == (3 * 32 * 32, 1, 3 * 32, 3)
    assert labels.dtype == torch.int64


def test_training_images_have_mean_zero_and_std_one():
    x = draw_images(200)
    flat = x.reshape(-1, 3).double() / 255
    mean, std = tuple(flat.mean(0).tolist()), tuple(flat.std(0, correction=0).tolist())
    pixels = Pixels.of(x, torch.zeros(200, dtype=torch.int64), mean=mean, std=std)
    found = torch.cat(
        [b for b, _ in training_batches(pixels, batch=64, augment="none", generator=seeded(1))]
    ).double()
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        found.std((0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-5
    )


def test_plain_batches_keep_the_order():
    x, y = draw_images(11, 8, 8, 1), torch.arange(11)
    batches = list(plain_batches(x, y, mean=MEAN[:1], std=STD[:1], batch=4))
    assert [len(labels) for _, labels in batches] == [4, 4, 3]
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(11))
    torch.testing.assert_close(
        torch.cat([b for b, _ in batches]),
        torch.stack([normalise(image) for image in x]),
        rtol=0,
        atol=2e-6,
    )
    assert list(plain_batches(x[:0], y[:0], mean=MEAN[:1], std=STD[:1], batch=4)) == []


def test_batches_do_not_change_what_is_stored():
    pixels = make_pixels(draw_images(16), "crop")
    before = pixels.images.clone()
    for x, _ in training_batches(pixels, batch=8, augment="crop", generator=seeded(1)):
        x.zero_()
    assert torch.equal(pixels.images, before)


def test_mistakes_are_refused_at_the_call():
    x = draw_images(4)
    plain = make_pixels(x, "none")
    with pytest.raises(ValueError, match="batch must be at least 1, but got 0"):
        training_batches(plain, batch=0, augment="none", generator=seeded(1))
    with pytest.raises(ValueError, match="batch must be at least 1, but got -2"):
        plain_batches(x, torch.arange(4), mean=MEAN, std=STD, batch=-2)
    with pytest.raises(ValueError, match=r"augment 'crop' needs padded images"):
        training_batches(plain, batch=2, augment="crop", generator=seeded(1))
    with pytest.raises(
        ValueError, match="augment must be 'none', 'crop' or 'crop_flip', but got 'flip'"
    ):
        training_batches(plain, batch=2, augment="flip", generator=seeded(1))  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_batches_of_the_cpu():
    x, y = draw_images(64), torch.arange(64)
    batches = [
        list(
            training_batches(
                Pixels.of(x.to(device), y.to(device), mean=MEAN, std=STD, augment="crop_flip"),
                batch=16,
                augment="crop_flip",
                generator=seeded(1),
            )
        )
        for device in ("cpu", "cuda")
    ]
    for (a, labels), (b, others) in zip(*batches, strict=True):
        assert torch.equal(labels, others.cpu())
        torch.testing.assert_close(a, b.cpu(), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (16, 24, 3)])
@pytest.mark.parametrize("padded", ["none", "crop"])
def test_whole_images_are_the_same_bits_as_their_pixels_one_by_one(
    height: int, width: int, channels: int, padded: str
) -> None:
    pixels = make_pixels(draw_images(30, height, width, channels), padded)
    draws = draw_epoch(pixels, augment="none", generator=seeded(3))
    assert draws.plain and draws.at(slice(0, 2)).plain
    whole, labels = gather(pixels, draws)
    single, others = gather(pixels, replace(draws, plain=False))
    assert torch.equal(whole, single) and torch.equal(labels, others)
    assert whole.stride() == single.stride()


def test_draws_that_crop_or_flip_are_not_plain() -> None:
    pixels = make_pixels(draw_images(10), "crop")
    for augment in ("crop", "crop_flip"):
        assert not draw_epoch(pixels, augment=augment, generator=seeded(0)).plain


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_drawn_batches_are_gathered_later_and_by_places_on_the_device(augment: str) -> None:
    pixels = make_pixels(draw_images(50, 8, 8, 3), augment)
    made = list(training_batches(pixels, batch=20, augment=augment, generator=seeded(1), skip=1))
    drawn = list(drawn_batches(pixels, batch=20, augment=augment, generator=seeded(1), skip=1))
    assert [len(batch) for batch in drawn] == [len(y) for _, y in made] == [20, 10]
    for batch, (x, y) in zip(drawn, made, strict=True):
        places = torch.tensor(batch.start) + torch.arange(len(batch))
        for found in (batch.gather(), gather(pixels, batch.draws.copy().at(places))):
            assert torch.equal(found[0], x) and torch.equal(found[1], y)
            assert found[0].is_contiguous(memory_format=torch.channels_last)
