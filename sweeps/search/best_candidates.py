"""The best candidates of a search, and the study that runs them again with other seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeps.planning.plan import make_plan
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_spec import RECIPES, SearchSpec

_ABSENT = object()


def rank_candidates(spec: SearchSpec, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that were trained to the end and are not too costly, the best first.

    Best is the highest validation accuracy; then the lower cost, then the lower number.
    """
    limit = spec.objective.max_effective_macs
    eligible = [
        candidate
        for candidate in candidates
        if candidate.outcome == "done"
        and candidate.val_top1 is not None
        and (limit is None or _macs(candidate) <= limit)
    ]
    return sorted(
        eligible,
        key=lambda candidate: (-(candidate.val_top1 or 0.0), _macs(candidate), candidate.number),
    )


def select_pareto_front(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Of ranked candidates those than which none is at least as accurate and cheaper."""
    front: list[Candidate] = []
    for candidate in ranked:
        if not front or _macs(candidate) < _macs(front[-1]):
            front.append(candidate)
    return front


def _macs(candidate: Candidate) -> float:
    return candidate.effective_macs or 0.0


def choose_best(
    spec: SearchSpec, by_sparsity: Mapping[float, Sequence[Candidate]]
) -> dict[float, list[Candidate]]:
    """What is best at each sparsity: one candidate, or the whole Pareto front; no entry where
    nothing was trained to its end."""
    best = {}
    for sparsity, candidates in by_sparsity.items():
        if ranked := rank_candidates(spec, candidates):
            best[sparsity] = select_pareto_front(ranked) if spec.objective.pareto else ranked[:1]
    return best


def study_of_the_best(
    spec: SearchSpec, best: Mapping[float, Sequence[Candidate]]
) -> dict[str, Any]:
    """The study that trains what is best with the confirming seeds, as it stands in `best.yaml`.

    Raises:
        ValueError: there is no best candidate.
    """
    settings = _merge_settings(
        _describe_setting(spec, sparsity, candidate)
        for sparsity, candidates in best.items()
        for candidate in candidates
    )
    if not settings:
        raise ValueError("a study of the best needs at least 1 candidate, but got 0")
    first, *others = settings
    study = {
        "name": f"{spec.name}-best"[:100],
        "description": f"The best of the search {spec.name}, by validation accuracy, "
        "trained anew with other seeds.",
        "dataset": spec.dataset,
        "model": spec.model,
        **({"data_dir": spec.data_dir} if spec.data_dir else {}),
        **({"method_path": spec.method_path} if spec.method_path else {}),
        **spec.start_fields(),
        **({"exclude": spec.exclude} if spec.exclude else {}),
        **({"layer_sparsity": spec.layer_sparsity} if spec.layer_sparsity else {}),
        **first,
        "seeds": list(spec.confirm_seeds),
        "resources": spec.resources.model_dump(mode="json"),
        "checkpoint_seconds": spec.checkpoint_seconds,
    }
    if others:
        study["also"] = [_keep_differences(first, other) for other in others]
    return study


def _merge_settings(settings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Settings that differ only in their sparsities as one, in order."""
    merged: list[dict[str, Any]] = []
    for setting in settings:
        equal = next(
            (known for known in merged if _drop_sparsities(known) == _drop_sparsities(setting)),
            None,
        )
        if equal is None:
            merged.append(setting)
        elif setting["sparsities"][0] not in equal["sparsities"]:
            equal["sparsities"].append(setting["sparsities"][0])
    return merged


def _describe_setting(spec: SearchSpec, sparsity: float, candidate: Candidate) -> dict[str, Any]:
    """One setting of the study, recipes in full: what a further setting leaves out is taken from
    the first."""
    seeds = list(spec.confirm_seeds)
    study = spec.study_of(sparsity, candidate.configuration, seeds=seeds, changes=candidate.changes)
    knobs = study.methods[0].choices()[0]
    trial = next(
        trial.spec for trial in make_plan(study).trials if trial.spec.method == spec.method
    )
    used = RECIPES if trial.retrain else RECIPES[:1]
    return {
        "methods": [{spec.method: knobs} if knobs else spec.method],
        "sparsities": [sparsity],
        **{name: getattr(study, name).model_dump(mode="json") for name in used},
    }


def _drop_sparsities(setting: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in setting.items() if name != "sparsities"}


def _keep_differences(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A further setting: of its recipes only the fields that differ from the first."""
    setting = {"methods": other["methods"], "sparsities": other["sparsities"]}
    for name in RECIPES:
        before = first.get(name, {})
        changed = {
            field: value
            for field, value in other.get(name, {}).items()
            if before.get(field, _ABSENT) != value
        }
        if changed:
            setting[name] = changed
    return setting
