"""Checks of a search before anything runs: its candidates can be scored, stopped and improved as
asked."""

from pruning.user_error import UserError
from sweeps.planning.network_probe import check_trials
from sweeps.search.proposals import Proposals
from sweeps.search.search_spec import SearchSpec

TRAININGS = {"recipe": "train", "retrain": "retrain"}  # `Train.recipe` by the recipe it follows


def check_search(spec: SearchSpec) -> None:
    """Pass if candidates make one trial at each sparsity, and can be scored, stopped and improved
    as asked.

    Raises:
        UserError: they cannot.
    """
    from pruning.phases import Prune, Train

    strategy = spec.strategy
    for configuration in spec.corners:
        trial = Proposals(spec, spec.sparsities[0]).resolve(configuration).trial.spec
        if not trial.sparsities and len(spec.sparsities) > 1:
            raise UserError(
                f"method '{spec.method}' decides by itself how much to prune: "
                "give one sparsity, as its name"
            )
        phases = trial.phases()
        if strategy.order in ("flow", "snip") and not isinstance(phases[0], Prune):
            raise UserError(
                f"order: {strategy.order} scores the pruned network, "
                f"but '{spec.method}' trains first; use tenth"
            )
        trainings = [phase.recipe for phase in phases if isinstance(phase, Train)]
        if strategy.draw == "population" and trainings != [TRAININGS[spec.changing_recipe]]:
            present = ", ".join(f"one by {recipe}" for recipe in trainings)
            raise UserError(
                f"a population changes {spec.changing_recipe} within one training, "
                f"but '{spec.method}' has {present or 'none'}"
            )
        if strategy.stop != "none" and not trainings:
            raise UserError(
                f"stop: {strategy.stop} needs epochs to stop after, but {spec.method} trains none"
            )


def check_network(spec: SearchSpec) -> None:
    """Pass if the network can be trained, and pruned by the method at the corners of the space.

    Raises:
        UserError: it cannot; or the data set cannot be had.
    """
    for configuration in spec.corners:
        study = spec.study_of(spec.sparsities[0], configuration, seeds=[spec.seed])
        study.check_data()
        trial = Proposals(spec, spec.sparsities[0]).resolve(configuration).trial.spec
        check_trials(study, [trial])
