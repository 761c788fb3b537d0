"""The adapter between a trial and Ray Tune: the only file of this package that imports Ray.

State lives in the study directory under the trial's key, not in Tune's checkpoints: `setup` and `reset_config` continue
from there. A fault of the trial itself is caught and becomes a result, so that Ray retries only what it should: lost
workers and nodes.
"""

import gc
import json
import time
import traceback
from datetime import UTC, datetime
from typing import Any

import torch
from ray import tune

from trainables.environment import Environment
from trainables.spec import TrialSpec
from trainables.store import Store
from trainables.trial import Trial

SECONDS_PER_RESULT = 1.0  # short steps are bundled, so that the driver sees about one result a second from a trial


class RayTrial(tune.Trainable):
    """One trial at a time in a reusable worker. Config: `spec` and `environment`, both as plain dictionaries."""

    trial: Trial | None
    spec: TrialSpec
    environment: Environment

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial; it is opened in the first step, where its faults are caught."""
        self.spec = TrialSpec.model_validate(config["spec"])
        self.environment = Environment.model_validate(config["environment"])
        self.trial = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in the same process."""
        on_gpu = self.environment.device == "cuda"
        self.trial = None
        if on_gpu:  # a collection takes 100 ms, more than a small trial; only GPU memory is scarce enough for it
            gc.collect()
            torch.cuda.empty_cache()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Walk steps for about a second.

        Returns: `status` running, done or failed; `walked` and `steps`; `epochs` trained so far and those
            `gained` since the trial was opened; when done the `top1`
            of the last row; when failed the `error` in one line.
        """
        began = time.monotonic()
        try:
            if self.trial is None:
                self.trial = Trial(self.spec, self.environment)
            while not self.trial.done and time.monotonic() - began < SECONDS_PER_RESULT:
                self.trial.advance()
        except Exception as error:
            return {"done": True, "status": "failed", "walked": 0, "error": self._record(error)}
        trial = self.trial
        result = {
            "done": trial.done,
            "status": "done" if trial.done else "running",
            "walked": trial.step,
            "steps": len(trial.steps),
            "epochs": trial.course.epochs,
            "gained": trial.course.epochs - trial.epochs_before,
            "train_seconds": trial.course.train_seconds,
        }
        return {**result, "top1": trial.course.rows[-1]["test_top1"]} if trial.done else result

    def _record(self, error: Exception) -> str:
        """Write the failure into the study directory and return it in one line."""
        line = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        content = {
            "key": self.spec.key,
            "error": line,
            "traceback": traceback.format_exc(),
            "attempts": self.trial.attempts if self.trial else 1,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.trial = None
        Store.at(self.environment.store).write(f"failures/{self.spec.key}.json", json.dumps(content, indent=1).encode())
        return line

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Publish the trial's state in the study directory; what Tune keeps is only a pointer."""
        if self.trial:
            self.trial.save()
        return {"key": self.spec.key}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: opening the trial loads the newest state of its key."""

    def cleanup(self) -> None:
        """Publish the state before the worker ends, so that an interrupted study loses nothing."""
        if self.trial:
            self.trial.save()
