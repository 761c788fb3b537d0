"""Several trials at once on a device: images a second together, for 1, 2, 4 and 8.

    python benchmarks/packing.py [MODEL] --data-dir DIR [--device cuda] [--seconds S]

Needs PyTorch and this project only. `--tune-packing` of a study does the same and takes the best.
"""

import argparse
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from sweeps.estimate.packing import tune_packing
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import build_study


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description="trials at once on a device")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--data-dir", required=True, help="Parquet files of CIFAR-10")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    raw = {
        "name": "packing",
        "dataset": "cifar10",
        "data_dir": given.data_dir,
        "model": given.model,
        "recipe": {"epochs": 160, "compile": False},  # compiling takes longer than a part may
        "methods": ["magnitude"],
        "sparsities": [0.5],
        "seeds": [0],
        "resources": {"gpus_per_trial": int(given.device == "cuda")},
    }
    spec = build_study(raw, where="benchmark")
    where = torch.cuda.get_device_name() if given.device == "cuda" else platform.machine()
    print(f"{given.model}, batch {spec.recipe.batch}, {where}, torch {torch.__version__}, n = 1")
    tune_packing(
        spec, make_plan(spec), say=lambda line: print(line, flush=True), seconds=given.seconds
    )


if __name__ == "__main__":
    main()
