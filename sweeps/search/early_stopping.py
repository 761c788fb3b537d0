"""Which candidates end early: Ray Tune's own rules, one for each sparsity, told again of what
earlier launches saw."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from sweeps.search.candidate_records import Candidate
from sweeps.search.candidate_searcher import stopping
from sweeps.search.search_spec import SearchSpec
from sweeps.search.search_state import Search

METRIC = {"metric": "val_top1", "mode": "max", "time_attr": "epochs"}


def make_rule(spec: SearchSpec) -> TrialScheduler | None:
    """The rule that a search stops candidates by; None where it stops none.

    asha: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934), in Ray's form that
    stops instead of pausing. median: the rule of Golovin et al. 2017 (Google Vizier).
    """
    strategy = spec.strategy
    if strategy.stop == "median":
        return MedianStoppingRule(
            **METRIC, grace_period=strategy.grace, min_time_slice=float("inf")
        )  # type: ignore[arg-type]
    if strategy.stop == "asha":
        return AsyncHyperBandScheduler(
            **METRIC,  # type: ignore[arg-type]
            max_t=max(spec.longest, strategy.grace),
            grace_period=strategy.grace,
            reduction_factor=strategy.factor,
            brackets=strategy.brackets,
            stop_last_trials=False,
        )
    return None


class Stub:
    """A trial of an earlier launch, for a rule that asks for no more of a trial than its name."""

    def __init__(self, key: str) -> None:
        self.trial_id = key


class StoppingScheduler(FIFOScheduler):
    """Passes what candidates report to the rule of their sparsity, each epoch once and in order.

    A rule that sees a candidate again that was under way before is told of its earlier epochs
    first. A candidate that has trained to its end is not stopped.
    """

    supports_buffered_results = False

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.rules = {sparsity: make_rule(search.spec) for sparsity in search.at}
        self._fed: dict[str, int] = {}
        for one in sorted(search.all, key=lambda one: (one.ended is None, one.ended)):
            if one.ended is not None and one.values:
                stub = Stub(one.key)
                self._add(stub, one)
                self._feed(stub, one)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tune's metric is not used: the rules have theirs."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop or go on."""
        with stopping():
            return self._decide(trial, result)
        return TrialScheduler.CONTINUE

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        one = self.search.note(str(trial.config["key"]), result)
        if one is None or one.outcome != "running" or not one.values:
            return TrialScheduler.CONTINUE
        if trial.trial_id not in self._fed:
            self._add(trial, one)
        decision = self._feed(trial, one)
        if decision != TrialScheduler.STOP or len(one.values) >= int(result.get("of", 0)):
            return TrialScheduler.CONTINUE
        self.search.stop(one)
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing to do: the last epoch has been reported before."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do: the candidate goes on, or its failure is recorded."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def _add(self, trial: Any, one: Candidate) -> None:
        self._fed[trial.trial_id] = 0
        if rule := self.rules[one.sparsity]:
            rule.on_trial_add(None, trial)  # type: ignore[arg-type]

    def _feed(self, trial: Any, one: Candidate) -> str:
        """Tell the rule of the epochs it has not heard of; what it says of the last one."""
        decision, rule = TrialScheduler.CONTINUE, self.rules[one.sparsity]
        for epoch, value in enumerate(
            one.values[self._fed[trial.trial_id] :], start=self._fed[trial.trial_id] + 1
        ):
            if rule:
                decision = rule.on_trial_result(None, trial, {"epochs": epoch, "val_top1": value})  # type: ignore[arg-type]
        self._fed[trial.trial_id] = len(one.values)
        return decision
