"""The loaders of images against torchvision's ImageFolder and DataLoader.

    python benchmarks/loader.py [--workers N] [--rounds N] [--images N] [--batch N] [--data-dir DIR]

Claims: images of ImageNet's size as JPEG, streamed, at 224 px with random resized crops and flips:
at least 1.3x the images/s of ImageFolder and DataLoader with the same transforms and workers; small
images on the device: 1.0x the bare gather of `trainables/data/batches.py`. The sides take turns,
each for one epoch, its start included, so that a machine that is busy slows all of them; a ratio is
the median over the rounds of (ours / usual) within one round. Processes are started before the
clock. Without --data-dir (a folder with `train` and `test` of class folders) the benchmark writes
images of 1/f noise, 500x375, of about 100 KB.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from trainables.data.batches import Pixels, training_batches
from trainables.data.loader import ResidentLoader, make_loader
from trainables.data.loader_interface import DataSetInfo, Loader
from trainables.training.process import set_up_process

SIZE, MEAN, STD = 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEIGHT, WIDTH, QUALITY = 375, 500, 90
SMALL = 20_000  # images of 32x32


def draw_noise(generator: np.random.Generator) -> Image.Image:
    """An image whose spectrum falls as that of photographs."""
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    frequency = np.maximum(np.hypot(down, across), 1 / WIDTH)

    def channel() -> np.ndarray:
        waves = generator.normal(size=(2, *frequency.shape)) / frequency**1.1
        plane = np.fft.irfft2(waves[0] + 1j * waves[1], s=(HEIGHT, WIDTH))
        return (plane - plane.mean()) / plane.std()

    grey = channel()
    colours = np.stack([0.8 * grey + 0.2 * channel() for _ in range(3)], axis=-1)
    return Image.fromarray(np.clip(128 + 50 * colours, 0, 255).astype(np.uint8))


def write_images(folder: Path, count: int) -> None:
    """Write so many training images of two classes, and some of a test split."""
    generator = np.random.default_rng(0)
    for split, images in (("train", count), ("test", 8)):
        for index in range(images):
            path = folder / split / f"class{index % 2}" / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_noise(generator).save(path, "JPEG", quality=QUALITY)


def make_usual(folder: Path, *, batch: int, workers: int) -> Callable[[int], int]:
    """An epoch of what one would write by hand; returns how many images it had."""
    steps = [
        transforms.RandomResizedCrop(SIZE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    images = ImageFolder(str(folder / "train"), transforms.Compose(steps))
    loader: DataLoader[Any] = DataLoader(
        images, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda epoch: sum(len(y) for _, y in loader)


def make_ours(folder: Path, cache: str, *, batch: int, workers: int, mode: str) -> Loader:
    """This project's loader of the same images."""
    return make_loader(
        "benchmark",
        str(folder),
        cache,
        hold_out=False,
        test=True,
        device="cpu",
        image_size=SIZE,
        images=mode,  # type: ignore[arg-type]
        workers=workers,
        normalise=(MEAN, STD),
        augments=("resized_crop",),
    )


def make_epoch(loader: Loader, augment: str, *, batch: int) -> Callable[[int], int]:
    """An epoch of a loader of this project; returns how many images it had."""

    def run(epoch: int) -> int:
        seeded = torch.Generator().manual_seed(epoch)
        batches = loader.training_batches(batch=batch, augment=augment, generator=seeded)
        return sum(len(y) for _, y in batches)

    return run


def make_small() -> tuple[Callable[[int], int], Callable[[int], int]]:
    """An epoch of small images on the device by the bare gather, and by the loader."""
    seeded = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (SMALL, 32, 32, 3), dtype=torch.uint8, generator=seeded)
    y = torch.arange(SMALL) % 10
    info = DataSetInfo(
        name="noise", classes=10, image=(3, 32, 32), mean=MEAN, std=STD, digest="0" * 16
    )
    pixels = Pixels.of(x, y, mean=MEAN, std=STD, augment="crop")

    def gather(epoch: int) -> int:
        generator = torch.Generator().manual_seed(epoch)
        batches = training_batches(pixels, batch=128, augment="crop_flip", generator=generator)
        return sum(len(labels) for _, labels in batches)

    loader = ResidentLoader.of(info, {"training": (x, y), "validation": (x[:0], y[:0])})
    return gather, make_epoch(loader, "crop_flip", batch=128)


def take_turns(sides: dict[str, Callable[[int], int]], rounds: int) -> dict[str, list[float]]:
    """Images a second of each side in each round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            began = time.perf_counter()
            images = run(number)
            if number:  # the first starts processes
                rates[name].append(images / (time.perf_counter() - began))
    return rates


def report(rates: dict[str, list[float]], usual: str) -> None:
    """Print the rates and their ratios to the usual one."""
    for name, found in rates.items():
        ratio = median(one / base for one, base in zip(found, rates[usual], strict=True))
        print(f"{name:34} {median(found):10,.0f} images/s  {ratio:5.2f} x {usual}", flush=True)


def main() -> None:
    """Let the sides take turns and print what came of it."""
    parser = argparse.ArgumentParser(description="the loaders of images against torchvision's")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--data-dir", help="train/CLASS/*.jpg and test/CLASS/*.jpg")
    given = parser.parse_args()
    set_up_process(threads=1)  # as a trial's, whose memory stays with it
    print(
        f"{SIZE} px, batch {given.batch}, {given.workers} workers, {platform.machine()}, torch "
        f"{torch.__version__}, n = {given.rounds} rounds",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(given.data_dir) if given.data_dir else Path(place) / "images"
        if not given.data_dir:
            write_images(folder, given.images)
        sizes = {"batch": given.batch, "workers": given.workers}
        sides = {"ImageFolder and DataLoader": make_usual(folder, **sizes)}
        for mode in ("streamed", "mapped"):
            loader = make_ours(folder, f"{place}/cache", mode=mode, **sizes)
            sides[f"ours, {mode}"] = make_epoch(loader, "resized_crop", batch=given.batch)
        report(take_turns(sides, given.rounds), "ImageFolder and DataLoader")
    gather, resident = make_small()
    print(f"{SMALL:,} images of 32x32 on the device, batch 128, crop_flip", flush=True)
    report(take_turns({"gather": gather, "ours, resident": resident}, 2 * given.rounds), "gather")


if __name__ == "__main__":
    main()
