"""The training loop against the script a user would otherwise write, and against what the chip can
do.

    python benchmarks/throughput.py [MODEL] --data-dir DIR [--threads N] [--rounds N] [--seconds S]
    [--device cuda]

Claims: on two CPU cores with AMX, ResNet-18 at least 3x the plain script in bf16 and 1.15x with
fp32 on both sides, ResNet-20 at least 3x; on a GPU at least 4x, and for ResNet-18 35 % of the
matmul ceiling. There, ours is timed with steps replayed as CUDA graphs and without. The plain
script is `benchmarks/plain_script.py`. Same network, batch 128, optimiser
and augmentation on both sides. They take turns, so that a machine that is busy slows both; a ratio
is the median over the rounds of (ours / plain) within one round. "auto" is what a training of 160
epochs of CIFAR-10 gets: bf16 where the hardware has it, compiled where a compiler is; compiling is
done before the clock starts, and timed apart.
"""

import argparse
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import torch
from plain_script import BATCH, LR, MOMENTUM, WEIGHT_DECAY, PlainScript

from pruning.cost import layer_costs, macs
from pruning.phases import Train
from trainables.data.prepared import load_data_set
from trainables.environment import Environment
from trainables.phase_runner import PhaseRunner
from trainables.training.process import set_up_gpu, set_up_process
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

PLAIN = "plain script"
# By name the fields of the recipe, and whether steps are replayed on a GPU.
OURS: dict[str, tuple[dict[str, object], bool]] = {
    "ours, fp32": ({"precision": "fp32", "compile": False}, True),
    "ours, eager": ({"compile": False}, False),
    "ours, graphs": ({"compile": False}, True),
    "ours, auto": ({}, True),
}


class Apart:
    """The plain script in a process of its own, so that what ours sets for its process is not lent
    to it."""

    def __init__(self, model: str, given: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, model, given.data_dir, given.device, given.threads)
        )
        self._process.start()
        theirs.close()  # so that the end of the process is heard

    def train(self, seconds: float) -> int:
        """Train for so long; returns the number of images."""
        self._ours.send(seconds)
        return int(self._ours.recv())

    def end(self) -> None:
        """End the process."""
        with suppress(OSError):  # it has ended
            self._ours.send(None)
        self._process.join()


def _serve(asked: Connection, model: str, data_dir: str, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    data = load_data_set("cifar10", data_dir=data_dir).joined()
    script = PlainScript(model, data, epochs=160, device=torch.device(device))
    while (seconds := asked.recv()) is not None:
        seen = script.train(seconds)
        if device == "cuda":
            torch.cuda.synchronize()
        asked.send(seen)


class Ours:
    """This project's dense training."""

    def __init__(self, model: str, fields: dict[str, object], environment: Environment) -> None:
        recipe = Recipe.model_validate(
            {
                "epochs": 160,
                "lr": LR,
                "momentum": MOMENTUM,
                "weight_decay": WEIGHT_DECAY,
                "hold_out": False,
                **fields,
            }
        )
        spec = TrialSpec(dataset="cifar10", model=model, method="dense", seed=0, recipe=recipe)
        self.runner, self.epoch = PhaseRunner(spec, environment), 0
        self.runner.begin()
        self.index = next(
            i for i, phase in enumerate(self.runner.phases) if isinstance(phase, Train)
        )
        self.steps = self.runner.loader.batches_per_epoch(BATCH)

    def train(self, seconds: float) -> int:
        """Train for so long; returns the number of images."""
        until, batches = time.perf_counter() + seconds, -self.runner.batches
        while time.perf_counter() < until:
            if self.runner.run_step(
                self.index, self.epoch, self.epoch, lambda: time.perf_counter() >= until
            ):
                self.epoch, batches = self.epoch + 1, batches + self.steps
        return (batches + self.runner.batches) * BATCH

    def describe(self) -> str:
        """The precision, and whether it is compiled."""
        network = self.runner.network
        return f"{network.precision}{', compiled' if network.compiled else ''}"


def rate(side: Apart | Ours, seconds: float, wait: Callable[[], None]) -> float:
    """Images a second."""
    began = time.perf_counter()
    seen = side.train(seconds)
    wait()
    return seen / (time.perf_counter() - began)


def ceiling(
    device: torch.device, precision: str, wait: Callable[[], None], *, seconds: float = 1.0
) -> float:
    """Floating-point operations a second of a large square matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not best:
        began = time.perf_counter()
        for _ in range(4):
            left @ right
        wait()
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - began))
    return best


def take_turns(
    plain: Apart, given: argparse.Namespace, wait: Callable[[], None]
) -> tuple[dict[str, Apart | Ours], dict[str, list[float]]]:
    """The sides by name, and their images/s in each round, which are printed as they come."""
    plain.train(given.seconds / 5)  # data read, loader processes started
    sides: dict[str, Apart | Ours] = {PLAIN: plain}
    with tempfile.TemporaryDirectory() as store:
        environment = Environment(
            store=store, data_dir=given.data_dir, device=given.device, threads=given.threads
        )
        for name, (fields, graphs) in OURS.items():
            if name == "ours, graphs" and given.device == "cpu":
                continue
            environment = environment.model_copy(update={"cuda_graphs": graphs})
            began = time.perf_counter()
            side = sides[name] = Ours(given.model, fields, environment)
            side.train(0.01)
            print(
                f"{name}: {side.describe()}; first step after {time.perf_counter() - began:.1f} s",
                flush=True,
            )
            side.train(given.seconds / 5)  # so that memory is allocated and kernels are chosen
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(1, given.rounds + 1):
            for name, side in sides.items():
                rates[name].append(rate(side, given.seconds, wait))
            now = "; ".join(f"{name}: {found[-1]:,.1f}" for name, found in rates.items())
            print(f"round {number}, images/s: {now}", flush=True)
    return sides, rates


def main() -> None:
    """Let the sides take turns and print what came of it."""
    parser = argparse.ArgumentParser(description="the training loop against a plain script")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each side in each round")
    parser.add_argument("--data-dir", required=True, help="Parquet files of CIFAR-10")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    device = torch.device(given.device)
    set_up_process(given.threads)
    if given.device == "cuda":
        set_up_gpu(sharing=1, deterministic=True)
    wait = torch.cuda.synchronize if given.device == "cuda" else lambda: None
    where = (
        torch.cuda.get_device_name()
        if given.device == "cuda"
        else f"{platform.machine()}, {given.threads} threads"
    )
    print(
        f"{given.model}, batch {BATCH}, {where}, torch {torch.__version__}, n = {given.rounds} "
        "rounds",
        flush=True,
    )
    plain = Apart(given.model, given)
    try:
        sides, rates = take_turns(plain, given, wait)
    finally:  # this process would wait for that one
        plain.end()
    best = sides["ours, auto"]
    assert isinstance(best, Ours)
    network = best.runner.network
    each = (
        3 * 2 * macs(layer_costs(network.model, network.image))
    )  # forward, and twice as much backward
    peak = ceiling(device, network.precision, wait)
    print(
        f"matmul ceiling, {network.precision}: {peak / 1e9:,.0f} GFLOP/s; one training image: "
        f"{each / 1e9:.3f} GFLOP"
    )
    for name, found in rates.items():
        ratio = median(one / base for one, base in zip(found, rates[PLAIN], strict=True))
        share = median(found) * each / peak
        print(
            f"{name:14} {median(found):10,.1f} images/s  {ratio:6.2f} x the plain script  "
            f"{share:6.1%} of the ceiling"
        )


if __name__ == "__main__":
    main()
