"""One trial, run step by step. Knows neither Ray nor studies.

A method's phases become steps: one epoch, one prune, one rewind, one measurement. Between two
steps, and between two batches of an epoch, the whole state is {weights and buffers, optimiser,
masks or kept channels, next step and batch, rows so far}; random numbers come from (seed, purpose).
So a trial that is stopped anywhere and opened again continues bit for bit.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from pruning.phases import Measure, Phase, Train
from pruning.seeds import derive_seed
from trainables import saved_networks
from trainables.checkpoint_format import FORMAT, TrialState, is_current_format
from trainables.environment import Environment
from trainables.phase_runner import PhaseRunner
from trainables.storage import checkpoints, layout
from trainables.storage.reading_store import open_store
from trainables.training.process import set_up_gpu, set_up_process
from trainables.training.ranks import ONE_RANK, Ranks
from trainables.trial_records import TrialRecords
from trainables.trial_results import read_complete_rows, write_results
from trainables.trial_spec import TrialSpec, step_label

# A checkpoint is numbered: finished steps x POSITIONS_PER_STEP + batches of the next one.
POSITIONS_PER_STEP = 10**6
CHECKPOINT_SHARE = 0.02  # of a trial's time that checkpoints at the ends of phases may take


class Trial:
    """One trial in its environment; opening it continues from the newest valid checkpoint of its
    key.

    step: number of finished steps. start: the position it was opened at. attempts: how often it was
    opened. done: whether its rows are written. ranks: this process among those of the trial; all
    of them open it and call `advance`, and the first one writes.
    """

    def __init__(self, spec: TrialSpec, environment: Environment, ranks: Ranks = ONE_RANK) -> None:
        self._opened_at = time.monotonic()
        set_up_process(environment.threads)
        if environment.device == "cuda":
            set_up_gpu(sharing=environment.sharing_gpu, deterministic=environment.deterministic)
        self.spec, self.environment, self.ranks = spec, environment, ranks
        self.store = open_store(environment.store, writes=ranks.is_first)
        self.runner = PhaseRunner(spec, environment, ranks)
        self.steps = [
            (index, epoch)
            for index, phase in enumerate(self.runner.phases)
            for epoch in (range(phase.start, phase.end) if isinstance(phase, Train) else (0,))
        ]
        self.step, self.attempts, self._seconds_before = 0, 1, 0.0
        self.done = False
        self._folder = layout.state_folder(layout.CHECKPOINTS, spec.key)
        self._whole: list[str] = []  # paths of the checkpoints that this attempt knows to be whole
        self._open()
        self.epochs_before = self.records.epochs
        self._saved_position = self.start = self.position
        self._saved_at = time.monotonic()
        self._save_seconds = CHECKPOINT_SHARE  # so that nothing is saved in the first second

    def _open(self) -> None:
        """Take the results if they are complete, else continue from a checkpoint, else begin."""
        networks = self.environment.keep_networks == "all"
        rows = read_complete_rows(self.store, self.spec, self.runner.phases, networks=networks)
        if rows:
            self.done, self.records.rows = True, rows
            return
        newest = checkpoints.read_newest_state(
            self.store, self._folder, "step", accept=is_current_format
        )
        if newest is None:
            self.runner.begin()
            return
        path, saved = newest
        self._whole.append(path)
        self.step, self.attempts = saved["step"], saved["attempts"] + 1
        self._seconds_before = saved["seconds"]
        following = self._next_phase()
        self.runner.restore(saved["course"], following[0] if following else None)
        before, now = saved.get("ranks", 1), self.ranks.count
        if before != now:
            self.records.add_notes([f"went on with {now} rank{'s'[: now > 1]} after {before}"])

    @property
    def records(self) -> TrialRecords:
        """What the trial has counted and recorded so far."""
        return self.runner.records

    @property
    def position(self) -> int:
        """How far the trial is: finished steps x POSITIONS_PER_STEP + batches of the epoch in
        progress; it only grows."""
        return self.step * POSITIONS_PER_STEP + self.runner.batches

    @property
    def seconds(self) -> float:
        """Seconds spent on this trial in workers, those of earlier attempts up to their checkpoint
        included."""
        return self._seconds_before + time.monotonic() - self._opened_at

    @property
    def label(self) -> str:
        """The next step in words."""
        following = self._next_phase()
        return step_label(*following) if following else "write rows"

    def describe_progress(self) -> dict[str, Any]:
        """How far the trial is, and how it runs.

        Returns:
            `steps_done` of `steps`; `epochs` trained so far, and those `gained` since the trial was
                opened at the position `start`; the next step as `label`, and the `level`.
            `seconds` spent on the trial so far and those of them in training, `train_seconds`; in
                which `precision` and whether `compiled`; where its `images` live, and why.
        """
        records, network = self.records, self.runner.network
        return {
            "steps_done": self.step,
            "steps": len(self.steps),
            "start": self.start,
            "epochs": records.epochs,
            "gained": records.epochs - self.epochs_before,
            "train_seconds": records.train_seconds,
            "seconds": self.seconds,
            "precision": network.precision,
            "compiled": network.compiled,
            "images": self.runner.loader.placement,
            "label": self.label,
            "level": records.level,
        }

    def _next_phase(self) -> tuple[Phase, int] | None:
        """The phase and epoch of the next step; None after the last."""
        if self.step == len(self.steps):
            return None
        index, epoch = self.steps[self.step]
        return self.runner.phases[index], epoch

    def run(self) -> None:
        """Run all steps that are left."""
        while not self.done:
            self.advance()

    def advance(self, pause: Callable[[], bool] = lambda: False) -> None:
        """Run one step, or a part of an epoch; save a checkpoint when it is time; after the last
        step write the results.

        Args:
            pause: called after every batch; where it returns True, this returns in the middle of
                the epoch.
        """
        following = self._next_phase()
        if following:
            if not self.runner.in_epoch:
                torch.manual_seed(derive_seed(self.spec.seed, "step", self.step))
            finished = self.runner.run_step(
                *self.steps[self.step],
                self.step,
                lambda: self.ranks.agree(lambda: self._checkpoint_is_due() or pause()),
            )
            if finished:
                self._end_step(*following)
            elif self._checkpoint_is_due():
                self.save()
        if self.step == len(self.steps):
            self._finish()

    def _end_step(self, phase: Phase, epoch: int) -> None:
        """Count a finished step; save its network where wanted, and a checkpoint where it is due or
        cheap."""
        self._save_network(phase)
        self.step += 1
        phase_ends = not isinstance(phase, Train) or epoch + 1 == phase.end
        every_step = self.environment.checkpoint_seconds == 0
        cheap_enough = phase_ends and self._checkpoint_is_cheap()
        if every_step or cheap_enough or self._checkpoint_is_due():
            self.save()

    def _save_network(self, phase: Phase) -> None:
        """Save the network if the study wants it and this phase was the last to measure its
        level."""
        if self.environment.keep_networks == "none" or not isinstance(phase, Measure):
            return
        if not self.ranks.is_first:
            return
        later = [self.runner.phases[index] for index, _ in self.steps[self.step + 1 :]]
        if not any(isinstance(other, Measure) and other.level == phase.level for other in later):
            data = self.runner.loader.data
            saved_networks.save_network(
                self.store, self.runner.network, self.records.rows[-1], data
            )

    def _checkpoint_is_due(self) -> bool:
        """Whether the longest time between two checkpoints is over."""
        longest = self.environment.checkpoint_seconds
        return longest > 0 and time.monotonic() - self._saved_at >= longest

    def _checkpoint_is_cheap(self) -> bool:
        """Whether a checkpoint takes a small share of the time that it would save."""
        return self._save_seconds <= CHECKPOINT_SHARE * (time.monotonic() - self._saved_at)

    def save(self) -> None:
        """Publish a checkpoint of the present position, unless there is one already; the two newest
        stay."""
        if self.done or not self.ranks.is_first or self.position in (0, self._saved_position):
            return
        began = time.monotonic()
        path = checkpoints.publish_state(
            self.store, self._folder, "step", self.position, dict(self._state()), digits=12
        )
        self._whole = [*self._whole, path][-2:]
        checkpoints.delete_older_states(
            self.store, self._folder, "step", self.position, keep=self._whole
        )
        self._saved_position, self._saved_at = self.position, time.monotonic()
        self._save_seconds = self._saved_at - began

    def _state(self) -> TrialState:
        """Everything needed to continue."""
        phase, epoch = self._next_phase() or (None, 0)
        return {
            "format": FORMAT,
            "step": self.step,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "ranks": self.ranks.count,
            "course": self.runner.state(midway=isinstance(phase, Train) and epoch > phase.start),
        }

    def close(self) -> None:
        """End what runs beside this process, if anything does."""

    def discard(self) -> None:
        """Give the trial up before its end: delete its checkpoints, and write no more."""
        self.store.delete(self._folder)
        self._saved_position = self.position

    def _finish(self) -> None:
        """Write the results and delete the checkpoints."""
        write_results(
            self.store, self.spec.key, self.records, attempts=self.attempts, seconds=self.seconds
        )
        self.store.delete(self._folder)
        self.done = True
