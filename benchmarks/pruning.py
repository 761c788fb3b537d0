"""How long pruning itself takes, and how much memory.

    python benchmarks/pruning.py [CASE] [--threads N]

Claims, on two CPU cores: SynFlow with 100 iterations on ResNet-18 under 60 s; SparseGPT on all of
ResNet-18 with 1,024 calibration images under 5 minutes; HRank's ranks of VGG16 from 640 images
under 3 minutes. Each case runs in a process of its own, so that its peak memory is its own. Images
are random: none of the costs depends on what they show.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from models.model_registry import build_model
from pruning.masks import all_kept, sparsity_of
from pruning.method import PruneInput
from pruning.registry import build_method

IMAGE = (3, 32, 32)
LIMITS = {"synflow": 60, "sparsegpt": 300, "hrank": 180}


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`count` random images in batches of 128."""
    drawn = torch.Generator().manual_seed(0)
    for _ in range(0, count, 128):
        yield (
            torch.randn(128, *IMAGE, generator=drawn),
            torch.randint(0, 10, (128,), generator=drawn),
        )


def prune(method: str, model: str, sparsity: float) -> str:
    """One prune of a freshly initialised network; what came of it in words."""
    torch.manual_seed(0)
    network = build_model(model, image=IMAGE, classes=10).eval()
    inputs = PruneInput(
        model=network,
        masks=all_kept(network),
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(0),
        images=images,
        image=IMAGE,
    )
    pruned = build_method(method, {}).prune(inputs)
    return (
        f"sparsity {sparsity_of(pruned):.4f}"
        if isinstance(pruned, dict)
        else "; ".join(inputs.notes) or "a smaller network"
    )


def run(case: str) -> None:
    """Time one case in this process."""
    began = time.perf_counter()
    match case:
        case "synflow":
            what = prune("synflow", "resnet18", 0.99)
        case "sparsegpt":
            what = prune("sparsegpt", "resnet18", 0.5)
        case "hrank":
            what = prune("hrank", "vgg16", 0.5)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{case:10} {torch.get_num_threads()} threads: {seconds:6.1f} s (claim: under "
        f"{LIMITS[case]} s on 2 cores), "
        f"peak memory {peak:.2f} GB; {what}",
        flush=True,
    )


def main() -> None:
    """Run one case, or each in a process of its own."""
    parser = argparse.ArgumentParser(description="time pruning itself")
    parser.add_argument("case", nargs="?", choices=list(LIMITS))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.case:
        torch.set_num_threads(options.threads)
        run(options.case)
        return
    for case in LIMITS:
        subprocess.run(
            [sys.executable, __file__, case, "--threads", str(options.threads)], check=True
        )


if __name__ == "__main__":
    main()
