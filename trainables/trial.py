"""One trial, walked step by step. Knows neither Ray nor studies.

A method's phases become steps: one epoch, one prune, one rewind, one measurement. Between two
steps, and between two batches of an epoch, the whole state is {weights and buffers, optimiser,
masks or kept channels, next step and batch, rows so far}; random numbers come from (seed, purpose).
So a trial that is stopped anywhere and opened again continues bit for bit.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch

from pruning.phases import Measure, Phase, Train
from trainables import saved_networks
from trainables.environment import Environment
from trainables.phase_runner import Course
from trainables.storage import checkpoints, parquet_tables
from trainables.storage.store import Store
from trainables.training.process import settle
from trainables.training.seeds import derive
from trainables.trial_spec import TrialSpec, step_label

FORMAT = 3  # of checkpoints; one of another format is not gone on from
BATCHES = 10**6  # a checkpoint's number is step x BATCHES + batches walked of that step
SHARE = 0.02  # of a trial's time that checkpoints at the ends of phases may take


class Trial:
    """One trial in its environment; opening it continues from the newest valid checkpoint of its
    key.

    step: number of steps walked. start: the position it was opened at. attempts: how often it was
    opened. done: whether its rows are written.
    """

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self._opened_at = time.monotonic()
        settle(environment.threads)
        self.spec, self.environment = spec, environment
        self.store = Store.at(environment.store)
        self.course = Course(spec, environment)
        self.steps = [
            (index, epoch)
            for index, phase in enumerate(self.course.phases)
            for epoch in (range(phase.start, phase.end) if isinstance(phase, Train) else (0,))
        ]
        self.step, self.attempts, self._seconds_before = 0, 1, 0.0
        self.done = False
        self._valid: list[str] = []  # paths of the checkpoints this attempt knows to be whole
        if rows := self._written():
            self.done, self.course.rows = True, rows
        elif found := checkpoints.newest(self.store, self._checkpoints, "step", accept=_is_current):
            self._valid.append(found[0])
            self._restore(found[1])
        else:
            self.course.begin()
        self.epochs_before = self.course.epochs
        self._saved = self.start = self.position
        self._saved_at, self._save_seconds = (
            time.monotonic(),
            SHARE,
        )  # at first nothing is saved in the first second

    @property
    def _checkpoints(self) -> str:
        return f"checkpoints/{self.spec.key}"

    @property
    def _rows(self) -> str:
        return f"rows/{self.spec.key}.parquet"

    @property
    def position(self) -> int:
        """How far the trial is: steps walked x BATCHES + batches of the epoch under way; it only
        grows."""
        return self.step * BATCHES + self.course.batches

    @property
    def seconds(self) -> float:
        """Seconds spent on this trial in workers, those of earlier attempts up to their checkpoint
        included."""
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

    def advance(self, pause: Callable[[], bool] = lambda: False) -> None:
        """Walk one step, or a part of an epoch; checkpoint when it is time; after the last step
        write the rows.

        Args:
            pause: asked after every batch; where it says so, this returns in the middle of an
                epoch.
        """
        following = self._next()
        if following:
            phase, epoch = following
            if not self.course.midway:
                torch.manual_seed(derive(self.spec.seed, "step", self.step))
            if self.course.walk(*self.steps[self.step], self.step, lambda: self._due() or pause()):
                self._keep(phase)
                self.step += 1
                ends = not isinstance(phase, Train) or epoch + 1 == phase.end
                if (
                    self._due()
                    or self.environment.checkpoint_seconds == 0
                    or (ends and self._cheap())
                ):
                    self.save()
            elif self._due():
                self.save()
        if self.step == len(self.steps):
            self._finish()

    def _keep(self, phase: Phase) -> None:
        """Keep the network where the study asks for it and this phase was the last to measure its
        level."""
        if self.environment.keep_networks == "none" or not isinstance(phase, Measure):
            return
        later = [self.course.phases[index] for index, _ in self.steps[self.step + 1 :]]
        if not any(isinstance(other, Measure) and other.level == phase.level for other in later):
            saved_networks.keep(
                self.store, self.course.network, self.course.rows[-1], self.course.images.data
            )

    def _due(self) -> bool:
        """Whether the longest time between two checkpoints is over."""
        longest = self.environment.checkpoint_seconds
        return longest > 0 and time.monotonic() - self._saved_at >= longest

    def _cheap(self) -> bool:
        """Whether a checkpoint takes a small share of the time that it would save."""
        return self._save_seconds <= SHARE * (time.monotonic() - self._saved_at)

    def save(self) -> None:
        """Publish a checkpoint of the present position, unless it is there already; the two newest
        are kept."""
        if self.done or self.position in (0, self._saved):
            return
        began = time.monotonic()
        phase, epoch = self._next() or (None, 0)
        saved = {
            "format": FORMAT,
            "step": self.step,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "course": self.course.state(midway=isinstance(phase, Train) and epoch > phase.start),
        }
        path = checkpoints.publish(
            self.store, self._checkpoints, "step", self.position, saved, digits=12
        )
        self._valid = [*self._valid, path][-2:]
        checkpoints.drop_older(
            self.store, self._checkpoints, "step", self.position, keep=self._valid
        )
        self._saved, self._saved_at = self.position, time.monotonic()
        self._save_seconds = self._saved_at - began

    def discard(self) -> None:
        """Give the trial up before its end: its checkpoints go, and nothing of it is written any
        more."""
        self.store.delete(self._checkpoints)
        self._saved = self.position

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step, self.attempts, self._seconds_before = (
            saved["step"],
            saved["attempts"] + 1,
            saved["seconds"],
        )
        phase, _ = self._next() or (None, 0)
        self.course.restore(saved["course"], phase)

    def _written(self) -> list[dict[str, Any]]:
        """The rows, if they and all published weights and kept networks are there, e.g. because a
        worker died right after writing."""
        wanted = {
            epoch
            for phase in self.course.phases
            if isinstance(phase, Train)
            for epoch in phase.publish
        }
        if not wanted <= checkpoints.numbers(self.store, f"artifacts/{self.spec.key}", "epoch"):
            return []
        measured = {phase.level for phase in self.course.phases if isinstance(phase, Measure)}
        if self.environment.keep_networks == "all" and not measured <= saved_networks.levels(
            self.store, self.spec.key
        ):
            return []
        return self._rows_there()

    def _rows_there(self) -> list[dict[str, Any]]:
        """The rows as they are stored; none where there is no file, or a damaged one, or one of
        another trial."""
        try:
            return list(
                parquet_tables.decode(
                    "rows", self.store.read(self._rows), key=self.spec.key
                ).to_pylist()
            )
        except (FileNotFoundError, parquet_tables.DamagedTable):
            return []

    def _finish(self) -> None:
        """Write the rows, last of all tables because they say that the trial is done, and drop the
        checkpoints."""
        if not self._rows_there():  # else a predecessor wrote them: rows are written once
            last = {
                "attempts": self.attempts,
                "trial_seconds": self.seconds,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            self.store.write(
                f"layers/{self.spec.key}.parquet",
                parquet_tables.encode("layers", self.course.layers),
            )
            self.store.write(
                f"curves/{self.spec.key}.parquet",
                parquet_tables.encode("curves", self.course.curves),
            )
            self.store.write(
                self._rows,
                parquet_tables.encode("rows", [{**row, **last} for row in self.course.rows]),
            )
        self.store.delete(self._checkpoints)
        self.done = True


def _is_current(saved: dict[str, Any]) -> bool:
    """Whether this version of the project can go on from a checkpoint."""
    return saved.get("format") == FORMAT
