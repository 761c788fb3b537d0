"""What removed channels buy: latency against MACs, and training the small network against training
a masked one.

    python benchmarks/slim.py [MODEL] [--threads N] [--seconds S] [--device cuda]

Claims, ResNet-18 at batch 128 on a CPU: with half of the channels gone, latency falls by at least
0.95 of what the MACs promise; with 70 % gone and widths that are multiples of 16, by at least 0.75.
Training the small network is at least 3x and 6x faster than training the whole one under masks, in
bf16. Networks take turns, so that a machine that is busy slows all of them; a speed-up is the
median over the rounds of (whole / small) within one round. Images are 3x32x32. On a GPU a forward
pass is timed as a CUDA graph, as `--measure` does it; training steps are eager, so that there they
take what starting their kernels takes.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.cost import layer_costs, macs
from pruning.filters import l1_norms
from pruning.held_masks import HeldMasks
from pruning.masks import keep_best, prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.keep_plan import choose_channels, group_scores
from pruning.structured.shrink import shrink
from trainables.timing.cuda_graph import capture
from trainables.timing.latency import make_forward_call
from trainables.timing.stopwatch import time_once, warm_up
from trainables.training.epoch import Epoch
from trainables.training.optimizer import make_optimizer
from trainables.training.precision import Precision, choose_precision
from trainables.training.process import set_up_gpu, set_up_process
from trainables.training.recipe import Recipe

IMAGE, BATCH = (3, 32, 32), 128
STEPS = 2  # optimiser steps that are timed together
CASES = (("50 % of channels", 0.5, 1, 0.95, 3.0), ("70 %, multiples of 16", 0.7, 16, 0.75, 6.0))


def smaller(model: nn.Module, removed: float, round_to: int) -> nn.Module:
    """The network without the channels of lowest L1 norm in every group."""
    found = find_groups(model, IMAGE)
    filters = {
        layer: prunable(model)[f"{layer}.weight"].detach()
        for group in found
        for layer in group.producers
    }
    scores = group_scores(found, {layer: l1_norms(weight) for layer, weight in filters.items()})
    return shrink(
        model,
        choose_channels(found, scores, kept_widths(found, removed, round_to=round_to)),
        image=IMAGE,
    )


def training(
    model: nn.Module, *, density: float, precision: Precision, device: torch.device
) -> Callable[[], None]:
    """Some optimiser steps on random images, under masks where the density is below 1."""
    weights = prunable(model)
    masks = keep_best(
        {name: torch.rand_like(weight) for name, weight in weights.items()}, 1 - density
    )
    held = HeldMasks(model, masks)
    held.apply()
    x = torch.randn(BATCH, *IMAGE).to(device).to(memory_format=torch.channels_last)
    batch: tuple[Tensor, Tensor] = (x, torch.randint(0, 10, (BATCH,), device=device))
    optimizer = make_optimizer(model, Recipe(lr=0.01), scaled=precision == "fp16")
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def steps() -> None:
        Epoch(
            model,
            [batch] * STEPS,
            steps=STEPS,
            optimizer=optimizer,
            scaler=scaler,
            held=held,
            learning_rate=lambda fraction: 0.01,
            precision=precision,
            device=device,
        ).train(lambda: False)

    return steps


def take_turns(
    calls: list[Callable[[], object]], device: torch.device, seconds: float
) -> list[list[float]]:
    """Milliseconds of every call in every round."""
    for call in calls:
        warm_up(call, device, seconds=seconds / 20)
    rounds: list[list[float]] = []
    until = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < until:
        rounds.append([time_once(call, device) for call in calls])
    return rounds


def gain(rounds: list[list[float]], whole: int, small: int) -> float:
    """How many times faster, the median over the rounds."""
    return median(times[whole] / times[small] for times in rounds)


def main() -> None:
    """Time, compare and print."""
    parser = argparse.ArgumentParser(description="what removed channels buy")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for latency, and as long for training"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    if given.device == "cuda":
        set_up_gpu(sharing=1, deterministic=True)
    where = (
        torch.cuda.get_device_name()
        if given.device == "cuda"
        else f"{platform.machine()}, {given.threads} threads"
    )
    torch.manual_seed(0)
    whole = (
        build_model(given.model, image=IMAGE, classes=10)
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    small = [
        smaller(whole, removed, round_to).to(memory_format=torch.channels_last)
        for _, removed, round_to, *_ in CASES
    ]
    networks = [whole, *small]
    cost = [macs(layer_costs(network, IMAGE)) for network in networks]
    held = sum(weight.numel() for weight in prunable(small[0]).values()) / sum(
        weight.numel() for weight in prunable(whole).values()
    )
    calls = [
        make_forward_call(deepcopy(network), IMAGE, batch=BATCH, precision="fp32", device=device)
        for network in networks
    ]
    captured = [capture(call, device) for call in calls]
    latency = take_turns([run for run, _ in captured], device, given.seconds)
    set_up_process(given.threads)  # as a trial does; latency is measured as --measure does
    precision = choose_precision("auto", whole, device)
    masked = [training(deepcopy(whole), density=held, precision=precision, device=device)]
    steps = [
        *masked,
        *(training(network, density=1.0, precision=precision, device=device) for network in small),
    ]
    trained = take_turns(steps, device, given.seconds)
    print(f"{given.model}, batch {BATCH}, {where}, torch {torch.__version__}")
    print(
        f"n = {len(latency)} rounds of latency in fp32, {len(trained)} of training in {precision}"
    )
    for note in sorted({note for _, note in captured if note}):
        print(f"latency: {note}")
    for index, (name, _, _, share, times) in enumerate(CASES, 1):
        theory, real, faster = (
            cost[0] / cost[index],
            gain(latency, 0, index),
            gain(trained, 0, index),
        )
        print(
            f"{name}: MACs {theory:.2f}x fewer, latency {real:.2f}x shorter = {real / theory:.2f} "
            f"(claim {share})"
        )
        print(
            f"{'':{len(name)}}  training {faster:.2f}x faster than the whole network under masks "
            f"(claim {times:g}x)"
        )


if __name__ == "__main__":
    main()
