"""Population-based training of recipes: Ray Tune's rule, in generations, on trials that stay what
their keys say.

A member that does badly goes on from the state of one that does well, with changed values. What it
then is has a name: the recipe of the better one with a further change from this epoch on. All
members have one seed, and the draws of an epoch come from seed and epoch alone, so its state is bit
for bit that of a training from scratch with this recipe; its key, its row and the study file of the
best say so.
"""

import random
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining, TrialScheduler

from sweeps.running.stop_request import Stop
from sweeps.search.candidate_records import Candidate
from sweeps.search.candidate_searcher import stopping
from sweeps.search.search_space import Dimension
from sweeps.search.search_state import Search
from trainables.storage import checkpoints

QUANTILE = 0.25  # of the members, the worst, go on from as many of the best
DRAWS = 50  # of changed values, until they differ from those of all members


class View:
    """Tune's controller as the rule of one sparsity is to see it: only its members, and no
    searcher."""

    search_alg = (
        None  # the rule refuses to work beside one; ours only hands out the first generation
    )

    def __init__(self, controller: Any, belongs: Callable[[Trial], bool]) -> None:
        self._controller, self._belongs = controller, belongs

    def get_trials(self) -> list[Trial]:
        """The members."""
        return [trial for trial in self._controller.get_trials() if self._belongs(trial)]

    def get_live_trials(self) -> list[Trial]:
        """The members that have not ended."""
        return [trial for trial in self._controller.get_live_trials() if self._belongs(trial)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)


class Generations(PopulationBasedTraining):
    """The rule of one sparsity: its members wait for each other every `interval` epochs; the worst
    are replaced."""

    def __init__(self, search: Search, sparsity: float) -> None:
        self.search, self.sparsity = search, sparsity
        mutations = {name: _mutation(dimension) for name, dimension in search.spec.space.items()}
        super().__init__(
            time_attr="epochs",
            metric="val_top1",
            mode="max",
            perturbation_interval=search.spec.interval,
            hyperparam_mutations=mutations,
            quantile_fraction=QUANTILE,
            custom_explore_fn=self._clip,
            log_config=False,
            require_attrs=False,
            synch=True,
        )
        reached = max((one.epochs for one in search.at[sparsity] if one.open), default=0)
        self._next_perturbation_sync = (reached // search.spec.interval + 1) * search.spec.interval

    def _clip(self, config: dict[str, Any]) -> dict[str, Any]:
        for name, dimension in self.search.spec.space.items():
            if dimension.choices is None:
                low, high = dimension.ends
                value = min(max(config[name], low), high)
                config[name] = round(value) if dimension.whole else float(f"{value:.4g}")
        return config

    def _get_new_config(
        self, trial: Trial, trial_to_clone: Trial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The config of what a member is from now on; its state is put where it will look for it.
        """
        donor = self.search.find(str(trial_to_clone.config["key"]))
        loser = self.search.find(str(trial.config["key"]))
        assert donor is not None and loser is not None, "members are candidates"
        epoch = int(self._trial_state[trial_to_clone].last_train_time)
        known = {one.key for one in self.search.at[self.sparsity]}
        for _ in range(DRAWS):
            config, operations = super()._get_new_config(trial, trial_to_clone)
            changed = {
                n: config[n]
                for n in self.search.spec.space
                if config[n] != trial_to_clone.config[n]
            }
            if not changed:
                continue
            change = {
                "epoch": epoch,
                **{name.partition(".")[2]: value for name, value in changed.items()},
            }
            changes = [*donor.changes, change]
            proposal = self.search.proposals[self.sparsity].resolve(donor.configuration, changes)
            if proposal.trial.key not in known:
                break
        else:  # nothing new to try: it goes on as it is
            return dict(trial.config), {}
        copy_state(self.search, donor.key, proposal.trial.key)
        self.search.stop(loser)
        clone = Candidate(
            self.sparsity,
            self.search.next_number(self.sparsity),
            proposal.trial.key,
            donor.configuration,
            values=donor.values[:epoch],
            parent=donor.number,
            cloned_at=epoch,
            changes=changes,
        )
        self.search.put(clone)
        self.search.active[trial.trial_id] = clone.key
        released = self.search.config(proposal.trial, gated=True)
        return {
            **config,
            **released,
            **{name: config[name] for name in self.search.spec.space},
        }, operations


def _mutation(dimension: Dimension) -> Any:
    """A dimension in Ray's words: a list of choices, or a function that draws."""
    if dimension.choices is not None:
        return list(dimension.choices)
    return lambda: dimension.draw(random.Random(random.random()))


def copy_state(search: Search, source: str, target: str) -> None:
    """Give the trial of one key the newest state of another's, as its own.

    Raises:
        FileNotFoundError: there is none.
    """
    found = checkpoints.newest(search.store, f"checkpoints/{source}", "step")
    if found is None:
        raise FileNotFoundError(f"checkpoints/{source} holds no state to go on from")
    path, saved = found
    for table in ("rows", "curves", "layers"):
        saved["course"][table] = [{**line, "key": target} for line in saved["course"][table]]
    saved |= {"attempts": 0, "seconds": 0.0}
    number = int(path.rsplit("/", 1)[1].split("-")[1])
    checkpoints.publish(search.store, f"checkpoints/{target}", "step", number, saved, digits=12)


class PopulationScheduler(FIFOScheduler):
    """Passes what members report at the end of a generation to the rule of their sparsity."""

    supports_buffered_results = False

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.rules = {sparsity: Generations(search, sparsity) for sparsity in search.at}
        self._seen: dict[str, int] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tune's metric is not used."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A member of the first generation, or one that goes on."""
        if one := self._find(trial):
            self.rules[one.sparsity].on_trial_add(self._view(tune_controller, one.sparsity), trial)  # type: ignore[arg-type]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Go on, or wait for the others at the end of a generation."""
        with stopping():
            return self._decide(tune_controller, trial, result)
        return TrialScheduler.CONTINUE

    def _decide(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        one = self.search.note(str(trial.config["key"]), result)
        interval = self.search.spec.interval
        if one is None or "val_top1" not in result or not one.epochs or one.epochs % interval:
            return TrialScheduler.CONTINUE
        if one.epochs >= int(result["of"]) or self._seen.get(one.key) == one.epochs:
            return TrialScheduler.CONTINUE
        self._seen[one.key] = one.epochs
        self.search.put(one)
        reported = {"epochs": one.epochs, "val_top1": one.values[-1]}
        decision = self.rules[one.sparsity].on_trial_result(
            self._view(controller, one.sparsity), trial, reported
        )  # type: ignore[arg-type]
        if decision in (TrialScheduler.PAUSE, TrialScheduler.NOOP):
            Stop.running.discard(trial.trial_id)
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next member to run: one that has not got to the end of the generation, or a dense
        training."""
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING and self._find(trial) is None:
                return trial  # type: ignore[no-any-return]
        for sparsity, rule in self.rules.items():
            view: Any = self._view(tune_controller, sparsity)
            live = view.get_live_trials()
            if (
                live
                and not (found := rule.choose_trial_to_run(view))
                and all(t.status == Trial.PAUSED for t in live)
            ):
                # Whom the others waited for has ended without a report, e.g. disconnected: this
                # generation is skipped.
                rule._next_perturbation_sync += self.search.spec.interval
                found = rule.choose_trial_to_run(view)
            if live and found:
                return found
        return None

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing to do."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing to do."""

    def _find(self, trial: Trial) -> Candidate | None:
        return self.search.find(str(trial.config["key"]))

    def _view(self, controller: Any, sparsity: float) -> View:
        def belongs(trial: Trial) -> bool:
            one = self._find(trial)
            return one is not None and one.sparsity == sparsity

        return View(controller, belongs)


def prepare_members(search: Search) -> None:
    """Seed the rule's own draws, which come from Python's generator, for this launch."""
    generations = sum(one.parent is not None for one in search.all)
    random.seed(f"{search.spec.seed}/population/{generations}")
