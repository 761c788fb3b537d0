"""A candidate of a search as Ray Tune runs it: it reports every epoch, and ends early where it
cannot succeed."""

import time
from typing import Any

from pruning.phases import Prune
from sweeps.search.early_checks import Gate, find_gate, find_score, tenth
from trainables.ray_trainable import RayTrial
from trainables.trial import Trial
from trainables.trial_spec import epochs_of


class CandidateTrial(RayTrial):
    """One trial at a time in a reusable worker, told of in the words that schedulers know.

    Config: as of `RayTrial`, and optionally `score` (flow, snip or tenth: end when the score is
    known) and `max_effective_macs`. A trial of the search's dense trainings has `gated` False and
    runs as any other.

    Results have `values`, the validation top-1 after each epoch so far, and `of`, the epochs of the
    whole course; after an epoch `val_top1`, too. Further values of `status`: scored, disconnected,
    too costly.
    """

    verdict: dict[str, Any] | None
    gate: Gate | None
    told: int

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial."""
        super().setup(config)
        self.score: str | None = config.get("score")
        self.limit: float | None = config.get("max_effective_macs")
        self.gated: bool = config.get("gated", True)
        self.verdict, self.gate, self.told = None, None, -1

    def _walk(self, trial: Trial, until: float) -> None:
        """Walk until an epoch has ended or something else is to be told, for about a second at
        most."""
        if not self.gated:
            return super()._walk(trial, until)
        before = trial.course.epochs
        self._judge(trial)
        while not (trial.done or self.verdict or self.terminated or time.monotonic() >= until):
            if trial.course.epochs > before:
                return None
            trial.advance(lambda: self.terminated or time.monotonic() >= until)
            self._judge(trial)
        return None

    def _judge(self, trial: Trial) -> None:
        """End the trial where its network is found unfit after the last prune, or where its score
        is known."""
        if trial.done or self.verdict:
            return None
        if self.gate is None and trial.course.level and (found := find_gate(trial)):
            self.gate = found
            if not found.connected:
                return self._give_up(trial, "disconnected", emptied_layers=found.emptied_layers)
            if self.limit is not None and found.effective_macs > self.limit:
                return self._give_up(trial, "too costly")
        if self.score == "tenth":
            if trial.course.epochs >= tenth(epochs_of(trial.course.phases)):
                trial.save()
                self.verdict = {"status": "scored", "score": _values(trial)[-1]}
        elif self.score and trial.course.level:
            self.verdict = {"status": "scored", "score": find_score(trial.course, self.score)}
        return None

    def _give_up(self, trial: Trial, status: str, **more: Any) -> None:
        trial.discard()
        self.verdict = {"status": status, **more}

    def _told(self, trial: Trial) -> dict[str, Any]:
        values = _values(trial)
        result = {
            **super()._told(trial),
            "values": values,
            "of": epochs_of(trial.course.phases),
            "seconds": trial.seconds,
            "images": len(trial.course.images.data.val_y),
        }
        if values and trial.course.epochs > self.told:
            result["val_top1"] = values[-1]
        self.told = trial.course.epochs
        if trial.done:
            last = trial.course.rows[-1]
            names = ("val_top1", "effective_macs", "sparsity_reached", "emptied_layers", "epochs")
            result["row"] = [
                [name, last[name]] for name in names
            ]  # Tune would flatten a dictionary
        if self.verdict:
            macs = self.gate.effective_macs if self.gate else None
            result |= {"done": True, "effective_macs": macs, **self.verdict}
            self._close()
        return result


def _values(trial: Trial) -> list[float]:
    """Validation top-1 in percent after each epoch."""
    return [one["top1"] for one in trial.course.curves if one["split"] == "validation"]


def can_score(phases: list[Any]) -> bool:
    """Whether a course prunes before it trains, so that a score without training can be taken of
    the pruned network."""
    return bool(phases) and isinstance(phases[0], Prune)
