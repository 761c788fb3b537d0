"""The benchmark for machines with a GPU: it needs few packages, and keeps what it has when a part
fails.

Covers: benchmarks/gpu.sh
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.trainables.data.parquet_images import write_dataset

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
PARTS = ["throughput-resnet18", "packing-resnet18", "throughput-resnet20", "packing-resnet20"]
PARTS += ["latency", "replay-eager", "replay-compiled"]
# What the script says that it needs; all of these bring packages of their own.
ABSENT = "ray yaml pandas scipy sklearn optuna matplotlib jinja2 rich timm safetensors onnx"
FORBID = f"""
import runpy, sys

for name in {ABSENT.split()!r}:
    sys.modules[name] = None  # as if it were not installed, also to who only looks for it
for part in sys.argv[1:]:
    sys.argv = [part, "--help"]
    try:
        runpy.run_path(part, run_name="__main__")
    except SystemExit as end:
        assert not end.code, part
"""


def run(tmp_path: Path, python: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a stand-in for Python, a shell script that gets the part's arguments."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{python}\n")
    stand_in.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), "data", "cpu", str(tmp_path / "results")],
        env={**os.environ, "PYTHON": str(stand_in), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_all_results_are_kept_when_a_part_fails(tmp_path: Path) -> None:
    ended = run(tmp_path, 'echo "ran $(basename $1) $2"; case "$1" in *packing*) exit 3;; esac')
    assert ended.returncode == 2
    kept = {path.stem: path.read_text() for path in (tmp_path / "results").iterdir()}
    assert sorted(kept) == sorted(PARTS)
    assert kept["throughput-resnet20"] == "ran throughput.py resnet20\n"
    assert kept["packing-resnet18"] == (
        "ran packing.py resnet18\nFAILED: packing-resnet18 ended with exit code 3\n"
    )
    assert "5 of 7 parts ran to their end" in ended.stdout


def test_a_part_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = run(tmp_path, 'case "$1" in *slim*) echo "so far"; sleep 60;; esac', PART_SECONDS="1")
    assert ended.returncode == 1
    kept = (tmp_path / "results" / "latency.txt").read_text()
    assert kept.startswith("so far\n") and "exit code 124" in kept


def test_all_parts_start_without_the_packages_that_they_do_not_need() -> None:
    """In one process, as each would import torch."""
    parts = ("throughput", "packing", "slim", "replay")
    started = subprocess.run(
        [sys.executable, "-c", FORBID, *(str(ROOT / f"benchmarks/{part}.py") for part in parts)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert started.returncode == 0, started.stderr[-2000:]
    for part in parts:
        assert f"usage: {part}.py" in started.stdout, part


@pytest.mark.slow
def test_all_parts_run_without_those_packages(tmp_path: Path) -> None:
    """In the smallest form, on a CPU; processes that a part starts lack the packages, too."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not (shutil.which(os.environ.get("CXX", "g++")) and headers.exists()):
        pytest.skip("a part compiles, and there is no C++ compiler, or Python's headers are absent")
    write_dataset(tmp_path / "cifar10", train=300, test=50, shape=(32, 32, 3))
    (tmp_path / "absent").mkdir()
    # By the finder, since None among the modules is a module to pyarrow's compiled code.
    hide = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        f"ABSENT = {ABSENT.split()!r}\nclass Finder(PathFinder):\n"
        "    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
        "        if name.partition('.')[0] not in ABSENT:\n"
        "            return super().find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Finder\n"
    )
    (tmp_path / "absent" / "sitecustomize.py").write_text(hide)
    smallest = {
        "MODELS": "simple_cnn",
        "LATENCY_MODEL": "simple_cnn",
        "ROUNDS": "1",
        "SECONDS_EACH": "0.2",
        "LATENCY_SECONDS": "0.2",
        "EPOCHS": "1",
        "PART_SECONDS": "1200",
        "OMP_NUM_THREADS": "1",  # threads that wait for each other hardly move on a busy machine
    }
    ended = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "cifar10"), "cpu", str(tmp_path / "results")],
        env={
            **os.environ,
            **smallest,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(tmp_path / "absent"),
            "PRUNING_DATA_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=5 * 1210,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    kept = {path.stem: path.read_text() for path in (tmp_path / "results").iterdir()}
    assert "of the ceiling" in kept["throughput-simple_cnn"]
    assert "images/s together" in kept["packing-simple_cnn"]
    assert "training" in kept["latency"]
    for way in ("eager", "compiled"):
        equal = f"tensors that differ: 0 when continued, 0 from {way}"
        assert kept[f"replay-{way}"].count(equal) == 2
