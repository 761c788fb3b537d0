"""Early stopping of candidates by Ray Tune's own rules, one for each sparsity; a rule is given what
earlier launches saw."""

from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from sweeps.running.not_pickled import NotPickled
from sweeps.search.candidate_records import Candidate
from sweeps.search.candidate_searcher import errors_stop_the_search
from sweeps.search.search_spec import SearchSpec
from sweeps.search.search_state import Search

METRIC = {"metric": "val_top1", "mode": "max", "time_attr": "epochs"}


def make_stopping_rule(spec: SearchSpec) -> TrialScheduler | None:
    """The rule that a search stops candidates by; None where it stops none.

    asha: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934), in Ray's form that
    stops instead of pausing. median: the rule of Golovin et al. 2017 (Google Vizier).
    """
    strategy = spec.strategy
    if strategy.stop == "median":
        return MedianStoppingRule(
            **METRIC,  # type: ignore[arg-type]
            grace_period=strategy.grace,
            min_time_slice=float("inf"),  # type: ignore[arg-type]
        )
    if strategy.stop == "asha":
        return AsyncHyperBandScheduler(
            **METRIC,  # type: ignore[arg-type]
            max_t=max(spec.most_epochs, strategy.grace),
            grace_period=strategy.grace,
            reduction_factor=strategy.factor,
            brackets=strategy.brackets,
            stop_last_trials=False,
        )
    return None


@dataclass(frozen=True, eq=False)  # by identity, as Tune's trials
class EarlierTrial:
    """A trial of an earlier launch; a rule asks for no more of a trial than its name."""

    trial_id: str


class StoppingScheduler(NotPickled, FIFOScheduler):
    """Passes what candidates report to the rule of their sparsity, each epoch once and in order.

    A rule that sees a candidate again that was under way before is given its earlier epochs first.
    A candidate that has trained to its end is not stopped.
    """

    supports_buffered_results = False

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.rules = {
            sparsity: make_stopping_rule(search.spec) for sparsity in search.candidates.by_sparsity
        }
        self._epochs_passed_on: dict[str, int] = {}
        ended = [candidate for candidate in search.candidates.all if candidate.ended is not None]
        for candidate in sorted(ended, key=lambda candidate: candidate.ended or 0):
            if candidate.values:
                earlier = EarlierTrial(candidate.key)
                self._add(earlier, candidate)
                self._pass_on(earlier, candidate)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tune's metric is not used: the rules have theirs."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop or go on."""
        with errors_stop_the_search():
            return self._decide(trial, result)
        return TrialScheduler.CONTINUE

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        candidate = self.search.record_progress(str(trial.config["key"]), result)
        if candidate is None or candidate.outcome != "running" or not candidate.values:
            return TrialScheduler.CONTINUE
        if trial.trial_id not in self._epochs_passed_on:
            self._add(trial, candidate)
        decision = self._pass_on(trial, candidate)
        trained_to_its_end = len(candidate.values) >= int(result.get("of", 0))
        if decision != TrialScheduler.STOP or trained_to_its_end:
            return TrialScheduler.CONTINUE
        self.search.stop_early(candidate)
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing to do: the last epoch has been reported before."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do: the candidate goes on, or its failure is recorded."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def _add(self, trial: Any, candidate: Candidate) -> None:
        self._epochs_passed_on[trial.trial_id] = 0
        if rule := self.rules[candidate.sparsity]:
            rule.on_trial_add(None, trial)  # type: ignore[arg-type]

    def _pass_on(self, trial: Any, candidate: Candidate) -> str:
        """Give the rule the epochs that it has not got; its decision on the last one."""
        decision, rule = TrialScheduler.CONTINUE, self.rules[candidate.sparsity]
        before = self._epochs_passed_on[trial.trial_id]
        for epoch, value in enumerate(candidate.values[before:], start=before + 1):
            if rule:
                report = {"epochs": epoch, "val_top1": value}
                decision = rule.on_trial_result(None, trial, report)  # type: ignore[arg-type]
        self._epochs_passed_on[trial.trial_id] = len(candidate.values)
        return decision
