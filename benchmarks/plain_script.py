"""The training script a user would otherwise write: what the other benchmarks compare with.

    python benchmarks/plain_script.py [MODEL] --data-dir DIR [--epochs N] [--images N] [--seed N]
    [--device cuda]

torchvision transforms in a DataLoader, fp32, SGD with a cosine schedule, one `.item()` a step. It
prints its images/s and test accuracy as JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from models.model_registry import build_model
from trainables.data.data_set import DataSet
from trainables.data.prepared import load_data_set

BATCH = 128
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4


def cut(data_dir: Path, folder: Path, images: int) -> None:
    """The first images of CIFAR-10, and a fifth as many to test, as a data set of their own."""
    folder.mkdir(parents=True)
    for split, count in (("train", images), ("test", images // 5)):
        pq.write_table(
            pq.read_table(data_dir / f"{split}.parquet").slice(0, count),
            folder / f"{split}.parquet",
        )


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision serves them: a picture at a time, through the transforms."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, *, data: DataSet, train: bool
    ) -> None:
        self.images, self.labels = images, labels
        random = [
            transforms.RandomCrop(images.shape[1], padding=4),
            transforms.RandomHorizontalFlip(),
        ]
        fixed = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.transform = transforms.Compose([*random, *fixed] if train else fixed)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class PlainScript:
    """Network, loaders, optimiser and schedule of one training."""

    def __init__(
        self, model: str, data: DataSet, *, epochs: int, device: torch.device, workers: int = 2
    ) -> None:
        self.device = device
        train = Pictures(data.train_x.numpy(), data.train_y.numpy(), data=data, train=True)
        test = Pictures(data.test_x.numpy(), data.test_y.numpy(), data=data, train=False)
        self.loader = DataLoader(
            train,
            batch_size=BATCH,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.test_loader = DataLoader(test, batch_size=BATCH, num_workers=workers)
        self.network = build_model(model, image=data.image, classes=data.classes).to(device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        steps = max(1, epochs * len(self.loader))
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=steps)
        self.criterion = nn.CrossEntropyLoss()
        self.running_loss, self.correct = 0.0, 0
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """Train one batch."""
        inputs, targets = inputs.to(self.device), targets.to(self.device)
        self.optimizer.zero_grad()
        outputs = self.network(inputs)
        loss = self.criterion(outputs, targets)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.running_loss += loss.item()
        self.correct += outputs.max(1)[1].eq(targets).sum().item()

    def epoch(self) -> None:
        """Train all batches once."""
        self.network.train()
        for inputs, targets in self.loader:
            self.step(inputs, targets)

    def train(self, seconds: float) -> int:
        """Train for so long; returns the number of images."""
        self.network.train()
        until, seen = time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            try:
                inputs, targets = next(self._batches)
            except StopIteration:
                self._batches = iter(self.loader)
                continue
            self.step(inputs, targets)
            seen += len(targets)
        return seen

    def accuracy(self) -> float:
        """Top-1 on the test images, in percent."""
        self.network.eval()
        correct = 0
        with torch.no_grad():
            for inputs, targets in self.test_loader:
                outputs = self.network(inputs.to(self.device))
                correct += outputs.max(1)[1].eq(targets.to(self.device)).sum().item()
        return 100 * correct / len(self.test_loader.dataset)  # type: ignore[arg-type]


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description="a plain training script")
    parser.add_argument("model", nargs="?", default="resnet20")
    parser.add_argument("--data-dir", required=True, help="Parquet files of CIFAR-10")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    if given.threads:
        torch.set_num_threads(given.threads)
    data = load_data_set(given.dataset, data_dir=given.data_dir).joined()
    script = PlainScript(
        given.model,
        data,
        epochs=given.epochs,
        device=torch.device(given.device),
        workers=given.workers,
    )
    began = time.perf_counter()
    for _ in range(given.epochs):
        script.epoch()
    seconds = time.perf_counter() - began
    images = given.epochs * len(data.train_x)
    print(
        json.dumps(
            {
                "test_top1": script.accuracy(),
                "images_per_second": images / seconds,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
