"""Steps eager, replayed as CUDA graphs, and compiled: how fast, and whether a trial that is
stopped and continued comes to the same bits.

    python benchmarks/replay.py [MODEL] --data-dir DIR [--dataset cifar10] [--epochs N]
    [--device cuda] [--ways eager graphs ...]

Claims: whole and continued trials are equal bit for bit in each way, eager and replayed ones are
equal to each other, and so are both ways of compiled ones; replayed steps are faster than eager
ones. On a CPU nothing is replayed,
and the first two ways are one. The rate is that of a whole trial's epochs, those in which a graph
is captured or a network compiled included: of a training of N epochs it is the least.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from trainables.environment import Environment
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

BATCH = 128
# By name whether the network is compiled and steps are replayed.
WAYS = {
    "eager": (False, False),
    "graphs": (False, True),
    "compiled": (True, False),
    "compiled-graphs": (True, True),
}


def run(spec: TrialSpec, environment: Environment, *, stops: bool) -> Trial:
    """A trial to its end; with `stops` it is saved and opened again at the end of an epoch and in
    the middle of it: after two thirds, and a batch later in each epoch."""
    trial = Trial(spec, environment)
    for after in count(max(1, trial.runner.loader.batches_per_epoch(BATCH) * 2 // 3)):
        batches = count(1)

        def pause(batches: Iterator[int] = batches, last: int = after) -> bool:
            return stops and next(batches) == last

        trial.advance(pause)
        if trial.done:
            return trial
        if stops:
            trial.save()
            trial = Trial(spec, environment)
    raise AssertionError("a trial ends")


def weights(trial: Trial) -> dict[str, Tensor]:
    """Weights and buffers at the end of a trial."""
    return trial.runner.network.copy_weights()


def differing(first: Trial, second: Trial) -> int:
    """The tensors that are not equal bit for bit."""
    others = weights(second)
    return sum(not torch.equal(value, others[name]) for name, value in weights(first).items())


def main() -> None:
    """Run the ways one after the other and print a line for each."""
    parser = argparse.ArgumentParser(description="eager, replayed and compiled training")
    parser.add_argument("model", nargs="?", default="resnet20")
    parser.add_argument("--data-dir", help="where the data set is")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    given = parser.parse_args()
    where = torch.cuda.get_device_name() if given.device == "cuda" else platform.machine()
    print(f"{given.model}, batch {BATCH}, {where}, torch {torch.__version__}, n = 1", flush=True)
    eager: Trial | None = None
    for way in given.ways:
        compiled, graphs = WAYS[way]
        recipe = Recipe(epochs=given.epochs, batch=BATCH, compile=compiled)
        spec = TrialSpec(
            dataset=given.dataset, model=given.model, method="dense", seed=0, recipe=recipe
        )
        trials = []
        for stops in (False, True):
            with tempfile.TemporaryDirectory() as store:
                environment = Environment(
                    store=store,
                    data_dir=given.data_dir,
                    device=given.device,
                    checkpoint_seconds=1e9,
                    cuda_graphs=graphs,
                )
                trials.append(run(spec, environment, stops=stops))
        whole, continued = trials
        eager = eager or whole
        records = whole.records
        images = records.epochs * whole.runner.loader.count("training") / records.train_seconds
        print(
            f"{way:15} {images:10,.0f} images/s  {whole.runner.network.precision}; tensors that "
            f"differ: {differing(whole, continued)} when continued, {differing(eager, whole)} from "
            f"{given.ways[0]}; {records.rows[-1]['notes'] or 'no notes'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
