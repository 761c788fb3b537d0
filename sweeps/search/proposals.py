"""Where the configurations of a search come from: the grid, chance, or a model of what was good so
far.

A proposal depends on the seed, the sparsity, its number and what is known of other candidates, and
on nothing else, so that a search continues after any interruption as if there had been none.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pruning.user_error import UserError
from sweeps.planning.plan import Planned, make_plan
from sweeps.search import search_space
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_space import Configuration, Dimension
from sweeps.search.search_spec import SearchSpec
from trainables.trial_spec import Scalar

ATTEMPTS = 200  # draws for one number before the space counts as used up
MODELLED = 20  # of these from the model; then by chance


@dataclass(frozen=True)
class Proposal:
    """A configuration with its trial, and the dense training it needs where it needs one."""

    configuration: Configuration
    trial: Planned
    dense: Planned | None


def derive(seed: int, *names: object) -> int:
    """A seed for one purpose; different names give independent streams."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


class Proposals:
    """The proposals of one search at one sparsity."""

    def __init__(self, spec: SearchSpec, sparsity: float) -> None:
        self.spec, self.sparsity = spec, sparsity

    def resolve(self, configuration: Configuration, changes: Sequence[Any] = ()) -> Proposal:
        """The trials of a configuration; see `SearchSpec.study`.

        Raises:
            UserError: it breaks a rule of the method or of a recipe.
        """
        asked = self.spec.study(
            self.sparsity, configuration, seeds=[self.spec.seed], changes=changes
        )
        plan = make_plan(asked, test=False)
        dense = next(trial for trial in plan.trials if trial.spec.method == "dense")
        pruned = [trial for trial in plan.trials if trial is not dense]
        if len(pruned) != 1 and self.spec.method != "dense":
            raise UserError(
                f"method '{self.spec.method}' must make one trial at a sparsity, but makes {len(pruned)}"
            )
        trial = pruned[0] if pruned else dense
        return Proposal(configuration, trial, dense if trial.parents else None)

    def next(self, number: int, known: Sequence[Candidate]) -> Proposal | None:
        """A proposal that is not known yet; None where there is none left.

        Points that break a rule of the method or of a recipe are passed over.

        Args:
            number: of the candidate to be.
            known: the other candidates at this sparsity.
        """
        keys = {one.key for one in known}
        tried = {tuple(sorted(one.configuration.items())) for one in known}
        for configuration in self._draw(number, known):
            point = tuple(sorted(configuration.items()))
            if point in tried:
                continue
            tried.add(point)
            try:
                found = self.resolve(configuration)
            except UserError:
                continue
            if found.trial.key not in keys:
                return found
        return None

    def _draw(self, number: int, known: Sequence[Candidate]) -> Iterator[Configuration]:
        if self.spec.strategy.draw == "grid":
            yield from self._grid
            return
        for attempt in range(ATTEMPTS):
            seed = derive(self.spec.seed, self.sparsity, number, attempt)
            if self.spec.strategy.draw == "tpe" and attempt < MODELLED:
                yield ask(self.spec, seed, known)
            else:
                yield search_space.draw(self.spec.space, random.Random(seed))

    @cached_property
    def _grid(self) -> list[Configuration]:
        """The grid in an order shuffled by the seed: a rule that stops early must not see the poor
        end first."""
        points = list(search_space.spread(self.spec.space))
        random.Random(derive(self.spec.seed, self.sparsity, "grid")).shuffle(points)
        return points


def ask(spec: SearchSpec, seed: int, known: Sequence[Candidate]) -> Configuration:
    """What Optuna's tree-structured Parzen estimator would try next (Bergstra et al. 2011).

    It is told of all candidates that have ended, in that order. A disconnected or failed one counts
    as 0 %; one that is too costly as worse than that, by how much it is; one that was stopped by
    the values it had reached.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError(
            "strategy tpe needs Optuna: pip install 'optuna>=4', or choose random"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions: list[Any] = ["maximize", "minimize"] if spec.objective.pareto else ["maximize"]
    made = optuna.create_study(directions=directions, sampler=optuna.samplers.TPESampler(seed=seed))
    for one in sorted(
        (one for one in known if one.ended is not None), key=lambda one: one.ended or 0
    ):
        made.add_trial(_tell(spec, one))
    trial = made.ask()
    chosen: Configuration = {}
    for name, dimension in spec.space.items():
        if dimension.applies(chosen):
            chosen[name] = _suggest(trial, name, dimension)
    return chosen


def _suggest(trial: Any, name: str, dimension: Dimension) -> Scalar:
    if dimension.choices is not None:
        return trial.suggest_categorical(name, dimension.choices)  # type: ignore[no-any-return]
    low, high = dimension.ends
    log = dimension.log_range is not None
    if dimension.whole:
        return int(trial.suggest_int(name, int(low), int(high), log=log))
    return min(
        max(float(f"{trial.suggest_float(name, low, high, log=log):.4g}"), float(low)), float(high)
    )


def _tell(spec: SearchSpec, one: Candidate) -> Any:
    """A candidate as a trial of Optuna's."""
    import optuna

    state, values = optuna.trial.TrialState.COMPLETE, worth(spec, one)
    reached = dict(enumerate(one.values, start=1)) if one.outcome == "stopped" else None
    if values is None:
        state = optuna.trial.TrialState.PRUNED if reached else optuna.trial.TrialState.FAIL
    return optuna.trial.create_trial(
        state=state,
        values=values,
        params=one.configuration,
        distributions={name: _distribution(spec.space[name]) for name in one.configuration},
        intermediate_values=reached,
    )


def worth(spec: SearchSpec, one: Candidate) -> list[float] | None:
    """The values of the objective, as the model is told them; None where there are none."""
    if spec.objective.pareto:
        known = one.val_top1 is not None and one.effective_macs is not None
        return [one.val_top1, one.effective_macs] if known else None  # type: ignore[list-item]
    limit = spec.objective.max_effective_macs
    if limit is not None and one.effective_macs is not None and one.effective_macs > limit:
        return [-100 * (one.effective_macs / limit - 1)]
    if one.outcome in ("disconnected", "failed"):
        return [0.0]
    return None if one.val_top1 is None else [one.val_top1]


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.ends
    log = dimension.log_range is not None
    return (
        IntDistribution(int(low), int(high), log=log)
        if dimension.whole
        else FloatDistribution(low, high, log=log)
    )
