"""Where the configurations of a search come from: the grid, chance, or a model of what was good so
far.

A proposal depends on the seed, the sparsity, its number and what is known of other candidates, and
on nothing else, so that a search continues after any interruption as if there had been none.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pruning.seeds import derive_seed
from pruning.user_error import UserError
from sweeps.planning.plan import PlannedTrial, make_plan
from sweeps.search.candidate_records import Candidate
from sweeps.search.dimension import Configuration
from sweeps.search.search_space import draw_point, iterate_grid
from sweeps.search.search_spec import SearchSpec
from sweeps.search.tpe import propose_by_tpe

ATTEMPTS = 200  # draws for one number before the space counts as used up
TPE_ATTEMPTS = 20  # of these by the model; then by chance


@dataclass(frozen=True)
class Proposal:
    """A configuration with its trial, and the dense training it needs where it needs one."""

    configuration: Configuration
    trial: PlannedTrial
    dense: PlannedTrial | None


def seed_for(seed: int, *names: str | float) -> int:
    """A 32-bit seed for one purpose; different names give independent streams.

    These are the leading bits of the seed that a trial would derive from the same names.
    """
    return derive_seed(seed, *map(str, names)) >> 31


class Proposals:
    """The proposals of one search at one sparsity."""

    def __init__(self, spec: SearchSpec, sparsity: float) -> None:
        self.spec, self.sparsity = spec, sparsity

    def resolve(self, configuration: Configuration, changes: Sequence[Any] = ()) -> Proposal:
        """The trials of a configuration; see `SearchSpec.study_of`.

        Raises:
            UserError: it breaks a rule of the method or of a recipe.
        """
        seeds = [self.spec.seed]
        study = self.spec.study_of(self.sparsity, configuration, seeds=seeds, changes=changes)
        plan = make_plan(study, test=False)
        dense = next(trial for trial in plan.trials if trial.spec.method == "dense")
        pruned = [trial for trial in plan.trials if trial is not dense]
        if len(pruned) != 1 and self.spec.method != "dense":
            raise UserError(
                f"method '{self.spec.method}' must make one trial at a sparsity, "
                f"but makes {len(pruned)}"
            )
        trial = pruned[0] if pruned else dense
        return Proposal(configuration, trial, dense if trial.parents else None)

    def propose(self, number: int, known: Sequence[Candidate]) -> Proposal | None:
        """A proposal that is not known yet; None where there is none left.

        Points that break a rule of the method or of a recipe are passed over.

        Args:
            number: of the candidate to be.
            known: the other candidates at this sparsity.
        """
        keys = {candidate.key for candidate in known}
        tried = {tuple(sorted(candidate.configuration.items())) for candidate in known}
        for configuration in self._draw(number, known):
            point = tuple(sorted(configuration.items()))
            if point in tried:
                continue
            tried.add(point)
            try:
                proposal = self.resolve(configuration)
            except UserError:
                continue
            if proposal.trial.key not in keys:
                return proposal
        return None

    def _draw(self, number: int, known: Sequence[Candidate]) -> Iterator[Configuration]:
        if self.spec.strategy.draw == "grid":
            yield from self._grid
            return
        for attempt in range(ATTEMPTS):
            seed = seed_for(self.spec.seed, self.sparsity, number, attempt)
            if self.spec.strategy.draw == "tpe" and attempt < TPE_ATTEMPTS:
                yield propose_by_tpe(self.spec, seed, known)
            else:
                yield draw_point(self.spec.space, random.Random(seed))

    @cached_property
    def _grid(self) -> list[Configuration]:
        """The grid in an order shuffled by the seed: a rule that stops early must not see the poor
        end first."""
        points = list(iterate_grid(self.spec.space))
        random.Random(seed_for(self.spec.seed, self.sparsity, "grid")).shuffle(points)
        return points
