"""The strategy tpe: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""

from collections.abc import Sequence
from typing import Any

from pruning.user_error import UserError
from sweeps.search.candidate_records import Candidate
from sweeps.search.dimension import Configuration, Dimension
from sweeps.search.search_spec import SearchSpec
from trainables.trial_spec import Scalar


def propose_by_tpe(spec: SearchSpec, seed: int, known: Sequence[Candidate]) -> Configuration:
    """What the estimator would try next.

    It is fitted to all candidates that have ended, in that order. A disconnected or failed one
    counts as 0 %; one that is too costly as worse than that, by how much it is; one that was
    stopped by the values it had reached.

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
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(directions=directions, sampler=sampler)
    ended = [candidate for candidate in known if candidate.ended is not None]
    for candidate in sorted(ended, key=lambda candidate: candidate.ended or 0):
        study.add_trial(_as_optuna_trial(spec, candidate))
    trial = study.ask()
    chosen: Configuration = {}
    for name, dimension in spec.space.items():
        if dimension.applies(chosen):
            chosen[name] = _suggest_value(trial, name, dimension)
    return chosen


def _suggest_value(trial: Any, name: str, dimension: Dimension) -> Scalar:
    if dimension.choices is not None:
        return trial.suggest_categorical(name, dimension.choices)  # type: ignore[no-any-return]
    low, high = dimension.ends
    log = dimension.log_range is not None
    if dimension.whole:
        return int(trial.suggest_int(name, int(low), int(high), log=log))
    value = float(f"{trial.suggest_float(name, low, high, log=log):.4g}")
    return min(max(value, float(low)), float(high))


def _as_optuna_trial(spec: SearchSpec, candidate: Candidate) -> Any:
    import optuna

    state, values = optuna.trial.TrialState.COMPLETE, objective_values(spec, candidate)
    stopped = candidate.outcome == "stopped"
    reached = dict(enumerate(candidate.values, start=1)) if stopped else None
    if values is None:
        state = optuna.trial.TrialState.PRUNED if reached else optuna.trial.TrialState.FAIL
    return optuna.trial.create_trial(
        state=state,
        values=values,
        params=candidate.configuration,
        distributions={name: _distribution(spec.space[name]) for name in candidate.configuration},
        intermediate_values=reached,
    )


def objective_values(spec: SearchSpec, candidate: Candidate) -> list[float] | None:
    """The values of the objective for a candidate; None where there are none."""
    macs, accuracy = candidate.effective_macs, candidate.val_top1
    if spec.objective.pareto:
        return None if accuracy is None or macs is None else [accuracy, macs]
    limit = spec.objective.max_effective_macs
    if limit is not None and macs is not None and macs > limit:
        return [-100 * (macs / limit - 1)]
    if candidate.outcome in ("disconnected", "failed"):
        return [0.0]
    return None if accuracy is None else [accuracy]


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.ends
    log = dimension.log_range is not None
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)
