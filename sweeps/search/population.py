"""The strategy population: the scheduler that lets Ray Tune's rule for population-based training
see the members of one sparsity each."""

import random
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.running.not_pickled import NotPickled
from sweeps.running.stop_request import StopRequest
from sweeps.search.candidate_records import Candidate
from sweeps.search.candidate_searcher import errors_stop_the_search
from sweeps.search.generations import Generations
from sweeps.search.search_state import Search


class ControllerOfMembers:
    """Tune's controller as the rule of one sparsity is to see it: with its members alone, and
    without a searcher."""

    # The rule refuses to work beside a searcher; ours only hands out the first generation.
    search_alg = None

    def __init__(self, controller: Any, is_member: Callable[[Trial], bool]) -> None:
        self._controller, self._is_member = controller, is_member

    def get_trials(self) -> list[Trial]:
        """The members."""
        return [trial for trial in self._controller.get_trials() if self._is_member(trial)]

    def get_live_trials(self) -> list[Trial]:
        """The members that have not ended."""
        return [trial for trial in self._controller.get_live_trials() if self._is_member(trial)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)


class PopulationScheduler(NotPickled, FIFOScheduler):
    """Passes what members report at the end of a generation to the rule of their sparsity."""

    supports_buffered_results = False

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.rules = {
            sparsity: Generations(search, sparsity) for sparsity in search.candidates.by_sparsity
        }
        self._passed_on: dict[str, int] = {}  # the last epoch, by key of the member

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tune's metric is not used."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A member of the first generation, or one that goes on."""
        if member := self._find_member(trial):
            members = self._members(tune_controller, member.sparsity)
            self.rules[member.sparsity].on_trial_add(members, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Go on, or wait for the others at the end of a generation."""
        with errors_stop_the_search():
            return self._decide(tune_controller, trial, result)
        return TrialScheduler.CONTINUE

    def _decide(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        member = self.search.record_progress(str(trial.config["key"]), result)
        interval = self.search.spec.interval
        if member is None or "val_top1" not in result:
            return TrialScheduler.CONTINUE
        generation_ends = member.epochs and member.epochs % interval == 0
        if not generation_ends or member.epochs >= int(result["of"]):
            return TrialScheduler.CONTINUE
        if self._passed_on.get(member.key) == member.epochs:
            return TrialScheduler.CONTINUE
        self._passed_on[member.key] = member.epochs
        self.search.candidates.put(member)
        report = {"epochs": member.epochs, "val_top1": member.values[-1]}
        members = self._members(controller, member.sparsity)
        decision = self.rules[member.sparsity].on_trial_result(members, trial, report)
        if decision in (TrialScheduler.PAUSE, TrialScheduler.NOOP):
            StopRequest.running.discard(trial.trial_id)
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next member to run: one that has not got to the end of the generation, or a dense
        training."""
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING and self._find_member(trial) is None:
                return trial  # type: ignore[no-any-return]
        for sparsity, rule in self.rules.items():
            members = self._members(tune_controller, sparsity)
            live = members.get_live_trials()
            if not live:
                continue
            chosen = rule.choose_trial_to_run(members)
            if not chosen and all(trial.status == Trial.PAUSED for trial in live):
                # The one that the others waited for has ended without a report, e.g. disconnected.
                rule.skip_generation()
                chosen = rule.choose_trial_to_run(members)
            if chosen:
                return chosen
        return None

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing to do."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def _find_member(self, trial: Trial) -> Candidate | None:
        return self.search.candidates.find(str(trial.config["key"]))

    def _members(self, controller: Any, sparsity: float) -> Any:
        def is_member(trial: Trial) -> bool:
            member = self._find_member(trial)
            return member is not None and member.sparsity == sparsity

        return ControllerOfMembers(controller, is_member)


def seed_population_draws(search: Search) -> None:
    """Seed the rule's own draws, which come from Python's generator, for this launch."""
    clones = sum(candidate.parent is not None for candidate in search.candidates.all)
    random.seed(f"{search.spec.seed}/population/{clones}")
