"""A candidate of a search as Ray Tune runs it: it reports every epoch, and ends early where it
cannot succeed.

As in `trainables.ray_trainable`, what imports torch is imported where a worker needs it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sweeps.search.candidate_records import read_values, values_of
from trainables.ray_trainable import RayTrial
from trainables.trial_spec import epochs_of

if TYPE_CHECKING:
    from sweeps.search.early_checks import PrunedNetwork
    from trainables.trial import Trial

ROW_COLUMNS = ("val_top1", "effective_macs", "sparsity_reached", "emptied_layers", "epochs")


class CandidateTrial(RayTrial):
    """One trial at a time in a reusable worker, with results as schedulers want them.

    Config: as of `RayTrial`, and optionally `score` (flow, snip or tenth: end when the score is
    known) and `max_effective_macs`. A trial of the search's dense trainings has `early_checks`
    False and runs as any other.

    Results have `values`, the validation top-1 after each epoch so far, and `of`, the epochs of the
    whole trial; after an epoch `val_top1`, too. Further values of `status`: scored, disconnected,
    too costly.
    """

    verdict: dict[str, Any] | None
    pruned: PrunedNetwork | None
    epochs_reported: int

    def setup(self, config: dict[str, Any]) -> None:
        """Take a trial."""
        super().setup(config)
        self.score: str | None = config.get("score")
        self.limit: float | None = config.get("max_effective_macs")
        self.early_checks: bool = config.get("early_checks", True)
        self.verdict, self.pruned, self.epochs_reported = None, None, -1

    def _run_until(self, trial: Trial, until: float) -> None:
        """Run until an epoch has ended or something else is to be reported, for about a second at
        most."""
        if not self.early_checks:
            return super()._run_until(trial, until)
        before = trial.records.epochs
        self._judge(trial)
        while not (trial.done or self.verdict or self.terminated or time.monotonic() >= until):
            if trial.records.epochs > before:
                return None
            trial.advance(lambda: self.terminated or time.monotonic() >= until)
            self._judge(trial)
        return None

    def _judge(self, trial: Trial) -> None:
        """End the trial where its network is unfit after the last prune, or where its score is
        known."""
        from sweeps.search.early_checks import check_pruned_network, score_untrained, tenth

        if trial.done or self.verdict:
            return
        if self.pruned is None and trial.records.level:
            self.pruned = check_pruned_network(trial)
            if self.pruned and not self.pruned.connected:
                layers = self.pruned.emptied_layers
                self._give_up(trial, {"status": "disconnected", "emptied_layers": layers})
                return
            if self.pruned and self.limit is not None and self.pruned.effective_macs > self.limit:
                self._give_up(trial, {"status": "too costly"})
                return
        if self.score == "tenth":
            if trial.records.epochs >= tenth(epochs_of(trial.runner.phases)):
                trial.save()
                self.verdict = {"status": "scored", "score": _list_values(trial)[-1]}
        elif self.score and trial.records.level:
            self.verdict = {"status": "scored", "score": score_untrained(trial.runner, self.score)}

    def _give_up(self, trial: Trial, verdict: dict[str, Any]) -> None:
        trial.discard()
        self.verdict = verdict

    def _result(self, trial: Trial) -> dict[str, Any]:
        values = _list_values(trial)
        result = {
            **super()._result(trial),
            "values": values,
            "of": epochs_of(trial.runner.phases),
            "seconds": trial.seconds,
            "images": trial.runner.loader.count("validation"),
        }
        if values and trial.records.epochs > self.epochs_reported:
            result["val_top1"] = values[-1]
        self.epochs_reported = trial.records.epochs
        if trial.done:
            last = trial.records.rows[-1]
            # As pairs, because Tune would flatten a dictionary.
            result["row"] = [[column, last[column]] for column in ROW_COLUMNS]
        if self.verdict:
            macs = self.pruned.effective_macs if self.pruned else None
            result |= {"done": True, "effective_macs": macs, **self.verdict}
            self._close()
        return result


def _list_values(trial: Trial) -> list[float]:
    """Validation top-1 in percent after each epoch; those of a trial that was done when it was
    opened, because its worker outlived a killed driver, are read."""
    if trial.done and not trial.records.curves:
        return read_values(trial.store, trial.spec.key)
    return values_of(trial.records.curves)
