"""The training loop against the script a user would otherwise write.

    python benchmarks/training.py [MODEL] [--threads N] [--rounds N] [--seconds S] --data-dir DIR [--device cuda]

Claims, on two CPU cores with AMX: ResNet-18 at least 3x in bf16, 1.15x with fp32 on both sides; ResNet-20 at least 3x.
The plain script is the usual one: torchvision transforms in a DataLoader with two workers, fp32, the default SGD, one
`.item()` a step. Same network, batch 128, optimiser and augmentation on both sides. They take turns, so that a machine
that is busy slows both; a ratio is the median over the rounds of (ours / plain) within one round.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from models.registry import build
from pruning.phases import Train
from trainables.course import Course
from trainables.data import obtain
from trainables.environment import Environment
from trainables.recipe import Recipe
from trainables.spec import TrialSpec

BATCH = 128
PLAIN = "plain script"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Pictures(Dataset[tuple[Tensor, int]]):
    """CIFAR-10 as torchvision serves it: a picture at a time, through the transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class PlainScript:
    """The usual training script."""

    def __init__(self, model: str, pictures: Pictures, device: torch.device) -> None:
        self.device = device
        self.network = build(model, image=(3, 32, 32), classes=10).to(device).train()
        self.loader = DataLoader(pictures, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.criterion = nn.CrossEntropyLoss()
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self.running_loss, self.correct = 0.0, 0

    def train(self, seconds: float) -> int:
        """Train for so long; returns the number of images."""
        until, seen = time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            try:
                inputs, targets = next(self.batches)
            except StopIteration:
                self.batches = iter(self.loader)
                continue
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.network(inputs)
            loss = self.criterion(outputs, targets)
            loss.backward()
            self.optimizer.step()
            self.running_loss += loss.item()
            self.correct += outputs.max(1)[1].eq(targets).sum().item()
            seen += len(targets)
        return seen


class Ours:
    """This project's dense training."""

    def __init__(self, model: str, precision: str, environment: Environment) -> None:
        recipe = Recipe(epochs=1000, batch=BATCH, weight_decay=5e-4, hold_out=False, precision=precision)  # type: ignore[arg-type]
        spec = TrialSpec(dataset="cifar10", model=model, method="dense", seed=0, recipe=recipe)
        self.course, self.epoch = Course(spec, environment), 0
        self.course.begin()
        self.index = next(i for i, phase in enumerate(self.course.phases) if isinstance(phase, Train))
        self.steps = self.course.images.batches_per_epoch(BATCH)

    def train(self, seconds: float) -> int:
        """Train for so long; returns the number of images."""
        until, walked = time.perf_counter() + seconds, -self.course.batches
        while time.perf_counter() < until:
            if self.course.walk(self.index, self.epoch, self.epoch, lambda: time.perf_counter() >= until):
                self.epoch, walked = self.epoch + 1, walked + self.steps
        return (walked + self.course.batches) * BATCH


def rate(side: PlainScript | Ours, seconds: float, settle: Callable[[], None]) -> float:
    """Images a second."""
    began = time.perf_counter()
    seen = side.train(seconds)
    settle()
    return seen / (time.perf_counter() - began)


def main() -> None:
    """Let the two take turns and print what came of it."""
    parser = argparse.ArgumentParser(description="the training loop against a plain script")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each side in each round")
    parser.add_argument("--data-dir", required=True, help="Parquet files of CIFAR-10")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    settle = torch.cuda.synchronize if given.device == "cuda" else lambda: None
    with tempfile.TemporaryDirectory() as store:
        environment = Environment(store=store, data_dir=given.data_dir, device=given.device, threads=given.threads)
        images = obtain("cifar10", data_dir=given.data_dir).joined()
        pictures = Pictures(images.train_x.numpy(), images.train_y.numpy())
        sides: dict[str, PlainScript | Ours] = {PLAIN: PlainScript(given.model, pictures, device)}
        sides |= {f"ours, {precision}": Ours(given.model, precision, environment) for precision in ("fp32", "auto")}
        for side in sides.values():
            side.train(given.seconds / 5)  # allocations, kernels chosen, loader processes started
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(given.rounds):
            for name, side in sides.items():
                rates[name].append(rate(side, given.seconds, settle))
    where = torch.cuda.get_device_name() if given.device == "cuda" else f"{platform.machine()}, {given.threads} threads"
    print(f"{given.model}, batch {BATCH}, {where}, torch {torch.__version__}, n = {given.rounds} rounds")
    for name, found in rates.items():
        ratio = median(one / base for one, base in zip(found, rates[PLAIN], strict=True))
        print(f"{name:14} {median(found):10,.1f} images/s  {ratio:6.2f} x the plain script", flush=True)


if __name__ == "__main__":
    main()
