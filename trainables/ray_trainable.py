"""The adapter between a trial and Ray Tune: the only file of this package that imports Ray.

State lives in the study directory under the trial's key, not in Tune's checkpoints: `setup` and
`reset_config` continue from there. A fault of the trial itself is caught, tried again from the last
checkpoint, and becomes a result in the end, so that Ray retries only what it should: lost workers
and nodes.
"""

import gc
import json
import signal
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import ray
import torch
from ray import tune
from ray._private.state import state

from trainables.environment import Environment
from trainables.phase_runner import ParentMissing
from trainables.storage.store import Store, StoreLost
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec
from trainables.user_method_files import fetch

SECONDS_PER_RESULT = (
    1.0  # steps are bundled or cut, so that the driver hears of a trial about once a second
)
TOLD = ("level", "stage", "sparsity", "test_top1", "val_top1")  # of each row when a trial is done
FAULTS = 3  # of its own that a trial may have before it is given up
MEMORY_ADVICE = (
    "give each trial more memory: fewer trials on a device (--gpus-per-trial, --cpus-per-trial), "
    "a smaller recipe.batch, or recipe.precision=bf16"
)


class Leaving(Exception):
    """The trial is checkpointed and its worker ends, because its machine goes; Ray starts the trial
    again elsewhere."""


class RayTrial(tune.Trainable):
    """One trial at a time in a reusable worker. Config: `spec` and `environment`, both as plain
    dictionaries.

    A worker that gets SIGTERM, or whose node is being drained (what becomes of the notice before a
    spot machine is taken away), checkpoints its trial after the batch it is in and leaves.
    """

    trial: Trial | None
    spec: TrialSpec
    environment: Environment
    faults: int
    heard: int
    busy = False
    terminated = False

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial; it is opened in the first step, where its faults are caught."""
        self.spec = TrialSpec.model_validate(config["spec"])
        self.environment = Environment.model_validate(config["environment"])
        self.trial = None
        self.faults = self.heard = 0
        if signal.getsignal(signal.SIGTERM) != self._on_sigterm:
            self._end = signal.signal(signal.SIGTERM, self._on_sigterm)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in the same process."""
        self._close()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Walk for about a second.

        Returns: `status` running, retrying, or at the end done, failed, orphaned (the dense weights
            it starts from are gone) or store_lost; `walked` and `steps`; `epochs` trained so far
            and those `gained` since the trial was opened at the position `start`; `seconds` spent
            on the trial so far, on which `device`, in which `precision` and whether `compiled`; the
            next step as `label`, the `level`, and what the `curve` has gained from its row number
            `curve_from` on; when done the `top1` of the last row and the accuracies of all
            `levels`; else the `error` in one line.

        Raises:
            Leaving: the worker has to go; the trial is checkpointed.
        """
        until = time.monotonic() + SECONDS_PER_RESULT
        if self._must_leave():
            raise Leaving
        self.busy = True
        try:
            if self.trial is None:
                if given_up := self._given_up():
                    return {"done": True, "status": "failed", "walked": 0, "error": given_up}
                fetch(self.spec.sources, Store.at(self.environment.store))
                self.trial, self.heard = Trial(self.spec, self.environment), 0
            self._walk(self.trial, until)
            if not self.trial.done and self._must_leave():
                self.trial.save()
                raise Leaving
        except StoreLost as error:
            self._close()
            return {"done": True, "status": "store_lost", "walked": 0, "error": str(error)}
        except ParentMissing as error:
            self._close()
            return {"done": True, "status": "orphaned", "walked": 0, "error": str(error)}
        except Leaving:
            raise
        except Exception as error:
            return self._fault(error)
        finally:
            self.busy = False
        return self._told(self.trial)

    def _walk(self, trial: Trial, until: float) -> None:
        """Walk until a moment of the monotonic clock, or to the end."""
        while not (trial.done or self.terminated or time.monotonic() >= until):
            trial.advance(lambda: self.terminated or time.monotonic() >= until)

    def _told(self, trial: Trial) -> dict[str, Any]:
        """What the driver hears of a trial after a step."""
        result = {
            "done": trial.done,
            "status": "done" if trial.done else "running",
            "walked": trial.step,
            "steps": len(trial.steps),
            "start": trial.start,
            "epochs": trial.course.epochs,
            "gained": trial.course.epochs - trial.epochs_before,
            "train_seconds": trial.course.train_seconds,
            "seconds": trial.seconds,
            "device": self.environment.hardware,
            "precision": trial.course.network.precision,
            "compiled": trial.course.network.compiled,
            "label": trial.label,
            "level": trial.course.level,
            "curve_from": self.heard,
            "curve": trial.course.curves[self.heard :],
        }
        self.heard = len(trial.course.curves)
        if not trial.done:
            return result
        rows = trial.course.rows
        levels = [{name: row[name] for name in TOLD} for row in rows]
        return {
            **result,
            "top1": rows[-1]["test_top1" if self.spec.test else "val_top1"],
            "levels": levels,
        }

    def _close(self) -> None:
        """Let go of the trial and, on a GPU, of its memory."""
        self.trial = None
        if (
            self.environment.device == "cuda"
        ):  # a collection takes 100 ms, more than a small trial: not on the CPU
            gc.collect()
            torch.cuda.empty_cache()

    # Leaving

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
        if not self.busy and callable(self._end):
            self._end(number, frame)

    def _must_leave(self) -> bool:
        return self.terminated or _is_draining()

    # Faults

    def _fault(self, error: Exception) -> dict[str, Any]:
        """What becomes of a fault of the trial itself: another try from the last checkpoint, or the
        end.

        Raises:
            torch.AcceleratorError: the device's state in this process is lost; another process
            tries.
        """
        self.faults += 1
        line = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            line = f"{line}; {MEMORY_ADVICE}"
        failure = {
            "key": self.spec.key,
            "error": line,
            "traceback": traceback.format_exc(),
            "faults": self.faults,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._close()
        if isinstance(error, torch.AcceleratorError):
            raise error
        if self.faults < FAULTS:
            return {"done": False, "status": "retrying", "walked": 0, "error": line}
        try:
            Store.at(self.environment.store).write(
                self._failure, json.dumps(failure, indent=1).encode()
            )
        except StoreLost as lost:
            return {"done": True, "status": "store_lost", "walked": 0, "error": str(lost)}
        return {"done": True, "status": "failed", "walked": 0, "error": line}

    @property
    def _failure(self) -> str:
        return f"failures/{self.spec.key}.json"

    def _given_up(self) -> str:
        """The error for which the driver has given this trial up, because it kept losing its
        workers; else empty."""
        try:
            return str(json.loads(Store.at(self.environment.store).read(self._failure))["error"])
        except FileNotFoundError:
            return ""

    # What Tune asks for

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
            with suppress(StoreLost):
                self.trial.save()


def _is_draining() -> bool:
    """Whether Ray is about to take this node away; False where this version of Ray does not tell.
    """
    try:
        return ray.get_runtime_context().get_node_id() in state.get_draining_nodes()
    except Exception:  # private, and the cluster may be going down at this moment
        return False
