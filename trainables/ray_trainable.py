"""The adapter between a trial and Ray Tune; beside `ray_notices.py` no other file of this package
imports Ray.

The command that starts a study imports this file, too: torch is imported where a worker needs it.

State lives in the study directory under the trial's key, not in Tune's checkpoints: `setup` and
`reset_config` continue from there. An exception of the trial itself is caught, the trial is tried
again from its last checkpoint, and in the end the exception becomes a result. So Ray retries only
what it should: lost workers and nodes.
"""

from __future__ import annotations

import signal
import time
import traceback
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from ray import tune

from trainables.environment import Environment
from trainables.node_faults import NodeCrowded, NodeUnfit, find_node_fault
from trainables.provenance import host_and_process
from trainables.ray_notices import describe_node, is_draining, is_stop_requested
from trainables.storage.layout import probe_file
from trainables.storage.store import Store, StoreLost
from trainables.trial_spec import TrialSpec
from trainables.user_method_files import load_method_files
from trainables.worker_checks import check_network, find_other_directory, read_verdict

if TYPE_CHECKING:
    from trainables.trial import Trial

SECONDS_PER_RESULT = 1.0  # short steps are bundled and long ones cut
LEVEL_COLUMNS = ("level", "stage", "sparsity", "test_top1", "val_top1")  # that the driver gets
MAX_EXCEPTIONS = 3  # of a trial itself, after which it is given up
RETRY_PAUSE = 1.0  # before it is tried again, times its exceptions so far
# Before a trial leaves a node that cannot run it: a node that fails fast must not draw all trials.
NODE_FAULT_PAUSE = 20.0
# Before each try to get memory that other processes of the GPU hold; after the last one it leaves.
MEMORY_PAUSES = (10.0, 20.0, 40.0)
MEMORY_ADVICE = (
    "give each trial more memory: fewer trials on a device (--gpus-per-trial, --cpus-per-trial), "
    "a smaller recipe.batch, or recipe.precision=bf16"
)


class Leaving(Exception):
    """The trial is checkpointed and its worker ends; Ray starts the trial again elsewhere."""


class RayTrial(tune.Trainable):
    """One trial at a time in a reusable worker. Config: `spec` and `environment`, both as plain
    dictionaries, and optionally `pause`, the seconds to wait before the trial is opened.

    A worker that gets SIGTERM, or whose node is being drained (which is how Ray passes on the
    notice before a spot machine is taken away), checkpoints its trial after the present batch and
    leaves.

    exceptions: how many the trial has raised in this worker. crowded: how often it found its share
    of the GPU's memory taken by others. curves_sent: rows of its curves that the driver has got.
    """

    trial: Trial | None
    spec: TrialSpec
    environment: Environment
    exceptions: int
    crowded: int
    curves_sent: int
    busy = False
    terminated = False

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial; it is opened in the first step, where its exceptions are caught."""
        self.spec = TrialSpec.model_validate(config["spec"])
        self.environment = Environment.model_validate(config["environment"])
        self.pause = float(config.get("pause", 0.0))
        self.trial = None
        self.exceptions = self.crowded = self.curves_sent = 0
        if signal.getsignal(signal.SIGTERM) != self._on_sigterm:
            self._end = signal.signal(signal.SIGTERM, self._on_sigterm)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in the same process; one that has not ended is saved before."""
        self._save()
        self._close()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run the trial for about a second.

        Returns:
            `status`: running (with `done`: saved, because the command wants to stop), retrying, or
                at the end done, failed, dense_weights_missing, store_lost or store_not_shared.
            what `Trial.describe_progress` returns, and on which `device` the trial runs.
            `curve`: the rows that the curves have got since the last result, from row number
                `curve_from` on.
            `top1` of the last row and the accuracies of all `levels`, when done; or the `error` in
                one line.

        Raises:
            Leaving: the worker has to go; the trial is checkpointed.
            NodeUnfit, NodeCrowded: the trial cannot run here; Ray tries again, maybe elsewhere.
        """
        try:
            from trainables.dense_weights import DenseWeightsMissing
            from trainables.rank_processes import open_trial
        except ImportError as absent:  # whatever of torch or of its libraries is missing here
            self._wait(NODE_FAULT_PAUSE)
            raise NodeUnfit(f"{describe_node()}: torch cannot be imported: {absent}") from absent
        if self.pause:
            self._wait(self.pause)
            self.pause = 0.0
        until = time.monotonic() + SECONDS_PER_RESULT
        if self._must_leave():
            raise Leaving
        if self.trial is None and is_stop_requested():
            return _end("running", "")  # nothing is opened any more
        self.busy = True
        try:
            if self.trial is None:
                store = Store.at(self.environment.store)
                if error := find_other_directory(self.environment, describe_node()):
                    return _end("store_not_shared", error)
                if error := read_verdict(self.spec.key, store):
                    return _end("failed", error)
                check_network(self.spec.model, self.environment)
                load_method_files(self.spec.sources, store)
                self.trial, self.curves_sent = open_trial(self.spec, self.environment), 0
            self._run_until(self.trial, until)
            if not self.trial.done and self._must_leave():
                self.trial.save()
                raise Leaving
            if stopped := not self.trial.done and is_stop_requested():
                self.trial.save()
        except StoreLost as lost:
            self._close()
            return _end("store_lost", str(lost))
        except DenseWeightsMissing as missing:
            self._close()
            return _end("dense_weights_missing", str(missing))
        except Leaving:
            raise
        except Exception as exception:
            return self._handle_exception(exception)
        finally:
            self.busy = False
        result = self._result(self.trial)
        return {**result, "done": True} if stopped else result

    def _run_until(self, trial: Trial, until: float) -> None:
        """Run the trial until a moment of the monotonic clock, or to its end."""
        while not (trial.done or self.terminated or time.monotonic() >= until):
            trial.advance(lambda: self.terminated or time.monotonic() >= until)

    def _result(self, trial: Trial) -> dict[str, Any]:
        """What the driver gets of a trial after a step."""
        records = trial.records
        result = {
            "done": trial.done,
            "status": "done" if trial.done else "running",
            **trial.describe_progress(),
            "device": self.environment.hardware,
            "curve_from": self.curves_sent,
            "curve": records.curves[self.curves_sent :],
        }
        self.curves_sent = len(records.curves)
        if not trial.done:
            return result
        top1 = records.rows[-1]["test_top1" if self.spec.test else "val_top1"]
        levels = [{column: row[column] for column in LEVEL_COLUMNS} for row in records.rows]
        return {**result, "top1": top1, "levels": levels}

    def _close(self) -> None:
        """Let go of the trial and its ranks and, on a GPU, of its memory."""
        if self.trial:
            self.trial.close()
        self.trial = None
        # Not on the CPU: a collection takes 100 ms, which is more than a small trial.
        if self.environment.device == "cuda":
            from trainables.training.process import free_gpu_memory

            free_gpu_memory()

    # Leaving

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
        if not self.busy and callable(self._end):
            self._end(number, frame)

    def _must_leave(self) -> bool:
        return self.terminated or is_draining()

    # Exceptions of the trial

    def _handle_exception(self, exception: Exception) -> dict[str, Any]:
        """Try again from the last checkpoint, or record the failure and end the trial.

        Raises:
            NodeUnfit, NodeCrowded: the node is to blame.
            torch.AcceleratorError: the state of the device is lost in this process; Ray tries again
                in another.
            RankLostError: another rank of the trial is lost; likewise.
        """
        import torch

        from trainables.training.ranks import RankLostError
        from trainables.trial_results import write_failure

        if fault := find_node_fault(exception):
            self._close()
            store = Store.at(self.environment.store)
            if lost := store.find_loss(probe_file(host_and_process())):  # it may be on that disk
                return _end("store_lost", lost)
            self._wait(NODE_FAULT_PAUSE)
            raise NodeUnfit(f"{describe_node()}: {fault}") from exception
        if isinstance(exception, torch.OutOfMemoryError) and self._is_crowded(exception):
            return self._wait_for_memory(exception)
        if isinstance(exception, RankLostError):
            self._close()
            raise exception
        self.exceptions += 1
        error = " ".join(f"{type(exception).__name__}: {exception}".split())[:500]
        if isinstance(exception, (MemoryError, torch.OutOfMemoryError)):
            error = f"{error}; {MEMORY_ADVICE}"
        trace = traceback.format_exc()
        self._close()
        if isinstance(exception, torch.AcceleratorError):
            raise exception
        if self.exceptions < MAX_EXCEPTIONS:
            self._wait(RETRY_PAUSE * self.exceptions)
            return _end("retrying", error) | {"done": False}
        try:
            store = Store.at(self.environment.store)
            write_failure(store, self.spec.key, error, trace, faults=self.exceptions)
        except StoreLost as lost:
            return _end("store_lost", str(lost))
        return _end("failed", error)

    def _is_crowded(self, error: Exception) -> bool:
        """Whether the memory that is missing belongs to this trial's share of the GPU."""
        from trainables.training.process import is_crowded

        environment = self.environment
        return environment.device == "cuda" and is_crowded(error, environment.sharing_gpu)

    def _wait_for_memory(self, error: Exception) -> dict[str, Any]:
        """Wait until others may have given memory back; NodeCrowded after the last pause."""
        self._close()
        if self.crowded == len(MEMORY_PAUSES):
            raise NodeCrowded(f"{describe_node()}: others take the GPU's memory") from error
        self._wait(MEMORY_PAUSES[self.crowded])
        self.crowded += 1
        return _end("retrying", "others take the GPU's memory") | {"done": False}

    def _wait(self, seconds: float) -> None:
        """Do nothing for so long, or until the worker has to leave or the command wants to stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not (self._must_leave() or is_stop_requested()):
            time.sleep(min(1.0, seconds))

    # What Tune calls

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Publish the trial's state in the study directory; what Tune keeps is only a pointer."""
        if self.trial:
            self.trial.save()
        return {"key": self.spec.key}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: opening the trial loads the newest state of its key."""

    def cleanup(self) -> None:
        """Publish the state before the worker ends, so that an interrupted study loses nothing."""
        self._save()
        if self.trial:
            self.trial.close()

    def _save(self) -> None:
        if self.trial:
            with suppress(StoreLost):
                self.trial.save()


def _end(status: str, error: str) -> dict[str, Any]:
    return {"done": True, "status": status, "steps_done": 0, "error": error}  # it has no rows
