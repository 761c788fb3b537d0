"""One trial, walked step by step. Knows neither Ray nor studies.

A method's phases become steps: one epoch, one prune, one rewind, one measurement. Between two steps the whole state is
{weights and buffers, optimiser, masks or kept channels, next step, rows so far}; random numbers come from (seed,
purpose) and need no state. So a trial that is stopped anywhere and opened again continues bit for bit.
"""

import time
from datetime import UTC, datetime
from typing import Any

import torch

from pruning.phases import Phase, Train
from trainables import record, state
from trainables.course import Course
from trainables.environment import Environment
from trainables.seeds import derive
from trainables.spec import TrialSpec, step_label
from trainables.store import Store


class Trial:
    """One trial in its environment; opening it continues from the newest valid checkpoint of its key.

    step: number of steps walked. attempts: how often it was opened. done: whether its rows are written.
    """

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self._opened_at = time.monotonic()
        torch.set_num_threads(environment.threads)
        torch.set_flush_denormal(True)
        self.spec, self.environment = spec, environment
        self.store = Store.at(environment.store)
        self.course = Course(spec, environment)
        self.steps = [
            (index, epoch)
            for index, phase in enumerate(self.course.phases)
            for epoch in (range(phase.start, phase.end) if isinstance(phase, Train) else (0,))
        ]
        self.step, self.attempts, self._seconds_before = 0, 1, 0.0
        self.done = self._is_written()
        if self.done:
            self.course.rows = record.decode("rows", self.store.read(self._rows)).to_pylist()
        elif found := state.newest(self.store, self._checkpoints, "step"):
            self._restore(found[1])
        else:
            self.course.begin()
        self.epochs_before = self.course.epochs
        self._saved_step = self.step
        self._saved_at = time.monotonic()

    @property
    def _checkpoints(self) -> str:
        return f"checkpoints/{self.spec.key}"

    @property
    def _rows(self) -> str:
        return f"rows/{self.spec.key}.parquet"

    @property
    def seconds(self) -> float:
        """Seconds spent on this trial in workers, those of earlier attempts up to their checkpoint included."""
        return self._seconds_before + time.monotonic() - self._opened_at

    @property
    def label(self) -> str:
        """The next step in words."""
        following = self._next()
        return step_label(*following) if following else "write rows"

    def _next(self) -> tuple[Phase, int] | None:
        """The phase and epoch of the next step; None after the last."""
        if self.step == len(self.steps):
            return None
        index, epoch = self.steps[self.step]
        return self.course.phases[index], epoch

    def run(self) -> None:
        """Walk to the end."""
        while not self.done:
            self.advance()

    def advance(self) -> None:
        """Walk one step; checkpoint after a training and when it is time; after the last step write the rows."""
        following = self._next()
        if following:
            phase, epoch = following
            torch.manual_seed(derive(self.spec.seed, "step", self.step))
            self.course.walk(*self.steps[self.step], self.step)
            self.step += 1
            trained = isinstance(phase, Train) and epoch + 1 == phase.end
            if trained or time.monotonic() - self._saved_at >= self.environment.checkpoint_seconds:
                self.save()
        if self.step == len(self.steps):
            self._finish()

    def save(self) -> None:
        """Publish a checkpoint of the present step, unless it is there already; the two newest are kept."""
        if self.done or self.step in (0, self._saved_step):
            return
        phase, epoch = self._next() or (None, 0)
        saved = {
            "step": self.step,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "course": self.course.state(midway=isinstance(phase, Train) and epoch > phase.start),
        }
        state.publish(self.store, self._checkpoints, "step", self.step, saved)
        state.keep_newest(self.store, self._checkpoints, "step", 2)
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step, self.attempts, self._seconds_before = saved["step"], saved["attempts"] + 1, saved["seconds"]
        phase, _ = self._next() or (None, 0)
        self.course.restore(saved["course"], phase)

    def _is_written(self) -> bool:
        """Whether rows and published weights are all there, e.g. because a worker died right after writing them."""
        wanted = {epoch for phase in self.course.phases if isinstance(phase, Train) for epoch in phase.publish}
        return self.store.exists(self._rows) and wanted <= state.numbers(
            self.store, f"artifacts/{self.spec.key}", "epoch"
        )

    def _finish(self) -> None:
        """Write the rows, last of all tables because they say that the trial is done, and drop the checkpoints."""
        if not self.store.exists(self._rows):
            last = {
                "attempts": self.attempts,
                "trial_seconds": self.seconds,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            self.store.write(f"layers/{self.spec.key}.parquet", record.encode("layers", self.course.layers))
            self.store.write(f"curves/{self.spec.key}.parquet", record.encode("curves", self.course.curves))
            self.store.write(self._rows, record.encode("rows", [{**row, **last} for row in self.course.rows]))
        self.store.delete(self._checkpoints)
        self.done = True
