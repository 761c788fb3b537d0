"""What a search has found: the best candidates, and the study that runs them again with other
seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.planning.plan import make_plan
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_spec import SearchSpec

_SETTING = ("recipe", "retrain")
_NONE = object()


def rank(spec: SearchSpec, found: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that were trained to the end and are not too costly, the best first.

    Best is the highest validation accuracy; then the lower cost, then the lower number.
    """
    limit = spec.objective.max_effective_macs
    done = [one for one in found if one.outcome == "done" and one.val_top1 is not None]
    fit = [one for one in done if limit is None or (one.effective_macs or 0.0) <= limit]
    return sorted(
        fit, key=lambda one: (-(one.val_top1 or 0.0), one.effective_macs or 0.0, one.number)
    )


def find_front(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Of ranked candidates those than which none is at least as accurate and cheaper."""
    front: list[Candidate] = []
    for one in ranked:
        if not front or (one.effective_macs or 0.0) < (front[-1].effective_macs or 0.0):
            front.append(one)
    return front


def choose(
    spec: SearchSpec, at: Mapping[float, Sequence[Candidate]]
) -> dict[float, list[Candidate]]:
    """What is best at each sparsity: one candidate, or the whole front; none where nothing was
    trained to its end."""
    ranked = {sparsity: rank(spec, found) for sparsity, found in at.items()}
    return {
        s: find_front(found) if spec.objective.pareto else found[:1]
        for s, found in ranked.items()
        if found
    }


def write_study(spec: SearchSpec, chosen: Mapping[float, Sequence[Candidate]]) -> dict[str, Any]:
    """The study that trains what is best with the confirming seeds, as it stands in `best.yaml`.

    Raises:
        ValueError: nothing is chosen.
    """
    settings: list[dict[str, Any]] = []
    for sparsity, found in chosen.items():
        for one in found:
            settings.append(_describe(spec, sparsity, one))
    if not settings:
        raise ValueError("a study of the best needs at least 1 candidate, but got 0")
    merged: list[dict[str, Any]] = []
    for setting in settings:  # sparsities with the same best are one setting
        same = next((one for one in merged if _without(one) == _without(setting)), None)
        if same is None:
            merged.append(setting)
        elif setting["sparsities"][0] not in same["sparsities"]:
            same["sparsities"].append(setting["sparsities"][0])
    first, *others = merged
    told = f"The best of the search {spec.name}, by validation accuracy, trained anew with other seeds."
    made = {
        "name": f"{spec.name}-best"[:100],
        "description": told,
        "dataset": spec.dataset,
        "model": spec.model,
        **({"data_dir": spec.data_dir} if spec.data_dir else {}),
        **({"method_path": spec.method_path} if spec.method_path else {}),
        **first,
        "seeds": list(spec.confirm_seeds),
        "resources": spec.resources.model_dump(mode="json"),
        "checkpoint_seconds": spec.checkpoint_seconds,
    }
    if also := [_differing(first, other) for other in others]:
        made["also"] = also
    return made


def _describe(spec: SearchSpec, sparsity: float, one: Candidate) -> dict[str, Any]:
    """One setting of the study, recipes in full: what a further setting leaves out is taken from
    the first."""
    found = spec.study(
        sparsity, one.configuration, seeds=list(spec.confirm_seeds), changes=one.changes
    )
    knobs = found.methods[0].choices()[0]
    (trial,) = [
        trial.spec for trial in make_plan(found).trials if trial.spec.method == spec.method
    ][:1]
    used = _SETTING if trial.retrain else _SETTING[:1]
    return {
        "methods": [{spec.method: knobs} if knobs else spec.method],
        "sparsities": [sparsity],
        **{name: getattr(found, name).model_dump(mode="json") for name in used},
    }


def _without(setting: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in setting.items() if name != "sparsities"}


def _differing(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A further setting: of its recipes only the fields that differ from the first."""
    made = {"methods": other["methods"], "sparsities": other["sparsities"]}
    for name in _SETTING:
        before = first.get(name, {})
        if changed := {
            key: value
            for key, value in other.get(name, {}).items()
            if before.get(key, _NONE) != value
        }:
            made[name] = changed
    return made
