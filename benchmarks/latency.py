"""What a pruned network gains in time: theoretical against measured speed-up, per structure,
batch size and precision.

    python benchmarks/latency.py [MODEL] [--threads N] [--seconds S] [--gpu]

Claims: zeros among the weights buy nothing in dense kernels, whatever the MACs say; channels
removed from all groups buy at least 0.75 of what their MACs say at batch 256, and less at batch 1.
Networks take turns, so that a machine that is busy or hot slows all of them, and a speed-up is the
median over the rounds of (dense / other) within one round. Images are 3x32x32.
"""

import argparse
import platform
import sys
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from statistics import median
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from models.model_registry import build_model
from pruning import cost
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.methods.l1_filter import L1Filter
from pruning.structured.shrink import shrink
from trainables.timing.cuda_graph import capture
from trainables.timing.latency import BATCH_SIZES, make_forward_call
from trainables.timing.network_structure import NetworkStructure
from trainables.timing.stopwatch import (
    FEWEST_RUNS,
    RUNS,
    summarise_times,
    threads_set,
    time_once,
    warm_up,
)
from trainables.training.precision import Precision
from trainables.training.process import set_up_gpu

IMAGE = (3, 32, 32)


@dataclass(frozen=True)
class Case:
    """One network structure with its name and its effective MACs an image."""

    name: str
    structure: NetworkStructure
    macs: float


def make_cases(model: str) -> list[Case]:
    """The dense network, the one with half of its weights zero, and four that lost channels."""
    dense = build_model(model, image=IMAGE, classes=10)
    cases = [_case("dense", model, dense), _case("masked, 50 % zeros", model, dense, density=0.5)]
    for mode in ("inner", "all"):
        for sparsity in (0.5, 0.75):
            inputs = PruneInput(
                model=dense,
                masks=all_kept(dense),
                sparsity=sparsity,
                generator=torch.Generator(),
                images=lambda count: iter(()),
                image=IMAGE,
            )
            smaller = shrink(dense, L1Filter(mode=mode).prune(inputs).keep, image=IMAGE)
            cases.append(_case(f"l1_filter {mode}, {sparsity:.0%} of the weights", model, smaller))
    return cases


def _case(name: str, model: str, network: nn.Module, *, density: float = 1.0) -> Case:
    shapes = tuple((layer, tuple(weight.shape)) for layer, weight in prunable(network).items())
    kept = tuple(round(density * prod(shape)) for _, shape in shapes)
    macs = density * cost.macs(cost.layer_costs(network, IMAGE))
    return Case(name, NetworkStructure(model, IMAGE, 10, shapes, kept, None, "fp32"), macs)


def compare(
    cases: list[Case], *, precision: Precision, batch: int, device: torch.device, seconds: float
) -> None:
    """Time the networks in turns, and print a line for each."""
    calls, notes = [], set()
    for case in cases:
        model = replace(case.structure, precision=precision).rebuild()[0].to(device)
        eager = make_forward_call(model, IMAGE, batch=batch, precision=precision, device=device)
        call, note = capture(eager, device)
        calls.append(call)
        notes.add(note)
    for call in calls:
        warm_up(call, device, seconds=seconds / 10 / len(calls))
    rounds: list[list[float]] = []
    while len(rounds) < RUNS and (
        len(rounds) < FEWEST_RUNS or sum(map(sum, rounds)) < 1000 * seconds
    ):
        rounds.append([time_once(call, device) for call in calls])
    print("; ".join([f"\n{precision}, batch {batch}, {len(rounds)} rounds", *sorted(notes - {""})]))
    print(f"{'':34}{'median ms':>11}{'IQR ms':>9}{'images/s':>10}{'in theory':>11}{'measured':>10}")
    for case, times in zip(cases, zip(*rounds, strict=True), strict=True):
        timing = summarise_times(times, batch)
        gain = median(dense / other for (dense, *_), other in zip(rounds, times, strict=True))
        print(
            f"{case.name:34}{timing.median_ms:11.2f}{timing.iqr_ms:9.2f}"
            f"{timing.images_per_second:10.1f}"
            f"{cases[0].macs / case.macs:10.2f}x{gain:9.2f}x",
            flush=True,
        )


def main() -> None:
    """Compare at every precision and batch size."""
    parser = argparse.ArgumentParser(description="theoretical against measured speed-up")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=120, help="for one precision and batch size"
    )
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if options.gpu else "cpu")
    if options.gpu:
        set_up_gpu(sharing=1, deterministic=False)
    what = (
        torch.cuda.get_device_name() if options.gpu else platform.processor() or platform.machine()
    )
    print(f"{options.model}, {what}, {options.threads} threads, torch {torch.__version__}")
    cases = make_cases(options.model)
    with threads_set(options.threads):
        for precision in get_args(Precision)[:2]:
            for batch in BATCH_SIZES:
                compare(
                    cases, precision=precision, batch=batch, device=device, seconds=options.seconds
                )


if __name__ == "__main__":
    main()
