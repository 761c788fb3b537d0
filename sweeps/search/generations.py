"""Population-based training at one sparsity: Ray Tune's rule, in generations, on trials that stay
what their keys say.

In each generation the bottom 25 % of the members copy the state of the top 25 %, with changed
values. What a copy then is has a name: the recipe of the better one with a further change from this
epoch on. All members have one seed, and the draws of an epoch come from seed and epoch alone, so
its state is bit for bit that of a training from scratch with this recipe; its key, its row and the
study file of the best say so.
"""

import random
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.search.candidate_records import Candidate
from sweeps.search.dimension import Dimension
from sweeps.search.proposals import Proposal
from sweeps.search.search_state import Search
from trainables.storage import checkpoints, layout

QUANTILE = 0.25  # of the members copy as many of the best
DRAWS = 50  # of changed values, until they differ from those of all members


class Generations(PopulationBasedTraining):
    """The rule of one sparsity: its members wait for each other every `interval` epochs; the worst
    are replaced."""

    def __init__(self, search: Search, sparsity: float) -> None:
        self.search, self.sparsity = search, sparsity
        interval = search.spec.interval
        mutations = {name: _mutation(dimension) for name, dimension in search.spec.space.items()}
        super().__init__(
            time_attr="epochs",
            metric="val_top1",
            mode="max",
            perturbation_interval=interval,
            hyperparam_mutations=mutations,
            quantile_fraction=QUANTILE,
            custom_explore_fn=self._clip,
            log_config=False,
            require_attrs=False,
            synch=True,
        )
        members = search.candidates.by_sparsity[sparsity]
        reached = max((member.epochs for member in members if member.open), default=0)
        self._next_perturbation_sync = (reached // interval + 1) * interval

    def skip_generation(self) -> None:
        """Let the members go on to the next generation although one has not reported."""
        self._next_perturbation_sync += self.search.spec.interval

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
        """The config of what a member is from now on; its state is put where it looks for it."""
        donor = self.search.candidates.find(str(trial_to_clone.config["key"]))
        replaced = self.search.candidates.find(str(trial.config["key"]))
        assert donor is not None and replaced is not None, "members are candidates"
        epoch = int(self._trial_state[trial_to_clone].last_train_time)
        members = self.search.candidates.by_sparsity[self.sparsity]
        known = {member.key for member in members}
        for _ in range(DRAWS):
            config, operations = super()._get_new_config(trial, trial_to_clone)
            changes = self._list_changes(donor, epoch, config, trial_to_clone.config)
            if changes is None:
                continue
            proposal = self.search.queue.resolve_changes(donor, changes)
            if proposal.trial.key not in known:
                break
        else:  # nothing new to try: the member goes on as it is
            return dict(trial.config), {}
        self._replace_member(trial, replaced, donor, epoch, changes, proposal)
        values = {name: config[name] for name in self.search.spec.space}
        given = self.search.config_of(proposal.trial, early_checks=True)
        return {**config, **given, **values}, operations

    def _list_changes(
        self, donor: Candidate, epoch: int, config: dict[str, Any], before: dict[str, Any]
    ) -> list[dict[str, Any]] | None:
        """The changes of the donor's recipe and the one to this config; None where it changes
        nothing."""
        change = {
            name.partition(".")[2]: config[name]
            for name in self.search.spec.space
            if config[name] != before[name]
        }
        return [*donor.changes, {"epoch": epoch, **change}] if change else None

    def _replace_member(
        self,
        trial: Trial,
        replaced: Candidate,
        donor: Candidate,
        epoch: int,
        changes: list[dict[str, Any]],
        proposal: Proposal,
    ) -> None:
        """Let the trial of a replaced member be that of a new one, with the donor's state."""
        copy_state(self.search, donor.key, proposal.trial.key)
        self.search.stop_early(replaced)
        clone = Candidate(
            self.sparsity,
            self.search.candidates.next_number(self.sparsity),
            proposal.trial.key,
            donor.configuration,
            values=donor.values[:epoch],
            parent=donor.number,
            cloned_at=epoch,
            changes=changes,
        )
        self.search.candidates.put(clone)
        self.search.active[trial.trial_id] = clone.key


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
    folder = layout.state_folder(layout.CHECKPOINTS, source)
    newest = checkpoints.read_newest_state(search.store, folder, "step")
    if newest is None:
        raise FileNotFoundError(f"{folder} holds no state to continue from")
    path, saved = newest
    for table in (layout.ROWS, layout.CURVES, layout.LAYERS):
        saved["course"][table] = [{**row, "key": target} for row in saved["course"][table]]
    saved |= {"attempts": 0, "seconds": 0.0}
    name = layout.parse_state(path)
    assert name is not None, "a state was read under this name"
    folder = layout.state_folder(layout.CHECKPOINTS, target)
    checkpoints.publish_state(search.store, folder, "step", name.number, saved, digits=12)
