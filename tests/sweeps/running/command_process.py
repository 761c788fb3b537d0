"""The study command as a real process, as the tests of troubles run it; the fixture `start` is in
conftest.py."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import build_study
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
STUDY: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 2, "batch": 128, "lr": 0.05, "precision": "fp32"},
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
    "checkpoint_seconds": 3600,
}
PATIENCE = 400  # seconds, for a command on a machine that is very busy; then it hangs
LONG = {"recipe": {**STUDY["recipe"], "epochs": 5000}}  # of which no test sees the end
Start = Callable[..., subprocess.Popen[str]]


def write(folder: Path, **change: Any) -> Plan:
    """Write the study file."""
    raw = {**STUDY, **change}
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    return make_plan(build_study(raw, where="test"))


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Poll until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def await_training(folder: Path, store: Store) -> None:
    """Until a trial has passed its first epoch: it has stored the weights of before."""
    wait_for(lambda: store.list("artifacts", ".pt"))
    time.sleep(1)
