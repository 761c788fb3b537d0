"""Does the faster training end where the plain script does? Test accuracy of both over the same
seeds.

    python benchmarks/parity.py [MODEL] --data-dir DIR [--images N] [--epochs N] [--seeds N]
    [--threads N]

Claim: the 95 % interval of the difference in test top-1 (Welch, the seeds of both sides as two
samples: equal numbers do not mean equal draws) holds 0. Ours trains as it would by default: bf16
where the hardware has it. Same network, images, epochs, batch, optimiser and schedule; the first
images of CIFAR-10, and a fifth as many to test.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from plain_script import LR, MOMENTUM, WEIGHT_DECAY, cut
from scipy.stats import ttest_ind

from analysis.statistics.intervals_and_tests import t_interval
from trainables.environment import Environment
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


def main() -> None:
    """Train every seed both ways and compare."""
    parser = argparse.ArgumentParser(description="accuracy of ours and of a plain script")
    parser.add_argument("model", nargs="?", default="resnet8")
    parser.add_argument("--data-dir", required=True, type=Path, help="Parquet files of CIFAR-10")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--compile", action="store_true", help="compile ours, whatever its number of steps"
    )
    given = parser.parse_args()
    recipe = Recipe.model_validate(
        {
            "epochs": given.epochs,
            "lr": LR,
            "momentum": MOMENTUM,
            "weight_decay": WEIGHT_DECAY,
            "hold_out": False,
            "compile": True if given.compile else "auto",
        }
    )
    accuracies: dict[str, list[float]] = {"plain script": [], "ours": []}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "cifar10")
        cut(given.data_dir, data, given.images)
        for seed in range(given.seeds):
            spec = TrialSpec(
                dataset="cifar10", model=given.model, method="dense", seed=seed, recipe=recipe
            )
            trial = Trial(
                spec,
                Environment(store=f"{scratch}/study", data_dir=str(data), threads=given.threads),
            )
            trial.run()
            accuracies["ours"].append(trial.records.rows[-1]["test_top1"])
            command = [
                sys.executable,
                str(Path(__file__).with_name("plain_script.py")),
                given.model,
            ]
            command += ["--data-dir", str(data), "--epochs", str(given.epochs), "--seed", str(seed)]
            script = subprocess.run(
                [*command, "--threads", str(given.threads)], check=True, capture_output=True
            )
            accuracies["plain script"].append(
                json.loads(script.stdout.splitlines()[-1])["test_top1"]
            )
            print(
                f"seed {seed}: "
                + ", ".join(f"{name} {values[-1]:.2f}" for name, values in accuracies.items()),
                flush=True,
            )
    row = trial.records.rows[-1]
    print(
        f"{given.model}, {given.epochs} epochs of {given.images} images, {platform.machine()}, "
        f"{given.seeds} seeds"
    )
    print(f"ours in {row['precision']}, {'compiled' if row['compiled'] else 'eager'}")
    for name, values in accuracies.items():
        interval = t_interval(values)
        print(f"{name:13} {interval.mean:.2f} ± {interval.half_width:.2f} % test top-1")
    low, high = ttest_ind(
        accuracies["ours"], accuracies["plain script"], equal_var=False
    ).confidence_interval()
    print(f"difference    {low:.2f} to {high:.2f} points (claim: holds 0)")


if __name__ == "__main__":
    main()
