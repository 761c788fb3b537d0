"""The trials of a study and what each needs: pure arithmetic on the study file, without torch or Ray."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, product
from typing import Any

from sweeps.study import StudySpec
from trainables.spec import TrialSpec, dense_spec, epochs_of, needs_dense, rewinds


@dataclass(frozen=True)
class Planned:
    """One trial of a plan: what it is, the keys of the trials it needs, and the epochs it trains itself.

    `alone` is the number of epochs it would train if the dense training it starts from were not shared.
    """

    spec: TrialSpec
    parents: tuple[str, ...]
    epochs: int
    alone: int

    @cached_property
    def key(self) -> str:
        """The trial's key."""
        return self.spec.key

    @property
    def title(self) -> str:
        """The key and the knobs, for a reader to whom the hash says nothing."""
        knobs = ", ".join(f"{name}={value}" for name, value in self.spec.knobs.items())
        return f"{self.key} ({knobs})" if knobs else self.key


@dataclass(frozen=True)
class Plan:
    """All trials of a study, dense trainings first, then by falling number of epochs, so that the tail is short."""

    trials: tuple[Planned, ...]

    @cached_property
    def by_key(self) -> dict[str, Planned]:
        """Trials by key."""
        return {trial.key: trial for trial in self.trials}

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Keys of the trials that need a trial, by its key."""
        found: dict[str, list[str]] = {}
        for trial in self.trials:
            for parent in trial.parents:
                found.setdefault(parent, []).append(trial.key)
        return found

    def epochs(self, keys: Iterable[str] | None = None) -> int:
        """Epochs to train for these trials, or for all."""
        return sum(self.by_key[key].epochs for key in (self.by_key if keys is None else keys))

    @property
    def sharing(self) -> float:
        """Epochs to train, as a fraction of those if every trial trained its own start."""
        alone = sum(trial.alone for trial in self.trials)
        return self.epochs() / alone if alone else 1.0

    def by_method(self) -> dict[str, list[Planned]]:
        """Trials by method, sorted by name."""
        ordered = sorted(self.trials, key=lambda trial: trial.spec.method)
        return {name: list(group) for name, group in groupby(ordered, key=lambda trial: trial.spec.method)}

    def to_json(self) -> bytes:
        """What is expected of the study, for the analysis: `plan.json`."""
        trials = [describe(trial) for trial in self.trials]
        return json.dumps({"trials": trials}, indent=1).encode()


def describe(trial: Planned) -> dict[str, Any]:
    """One trial as an entry of `plan.json`."""
    return {
        **trial.spec.columns(),
        "sparsities": list(trial.spec.sparsities),
        "parents": list(trial.parents),
    }


def make_plan(study: StudySpec) -> Plan:
    """The trials of a study: every method and knob setting, at every sparsity, with every seed, and the dense ones."""
    planned: dict[str, Planned] = {}
    rewound: dict[str, set[int]] = {}
    for setting, seed in product(study.settings, study.seeds):
        base = TrialSpec(dataset=setting.dataset, model=setting.model, method="dense", seed=seed, recipe=setting.recipe)
        planned[base.key] = Planned(base, (), setting.recipe.epochs, setting.recipe.epochs)
        for entry in setting.methods:
            for knobs in entry.choices():
                for trial in _trials(setting, entry.name, knobs, seed):
                    planned[trial.key] = trial
                    if trial.parents:
                        rewound.setdefault(base.key, set()).update(rewinds(trial.spec.phases()))
    for key, epochs in rewound.items():
        dense = planned[key]
        planned[key] = replace(dense, spec=dense_spec(dense.spec, tuple(sorted(epochs))))
    return Plan(tuple(sorted(planned.values(), key=lambda t: (t.spec.method != "dense", -t.epochs))))


def _trials(study: StudySpec, name: str, knobs: dict[str, Any], seed: int) -> list[Planned]:
    """The trials of one method and knob setting for one seed."""
    found = []
    first = TrialSpec(
        dataset=study.dataset, model=study.model, method=name, knobs=knobs, seed=seed, recipe=study.recipe
    )
    method = first.build_method()
    for sparsities in method.trials(tuple(study.sparsities)):
        if name != "dense" and sparsities and sparsities[-1] <= 0:
            continue
        spec = first.model_copy(update={"sparsities": sparsities, "retrain": study.retrain})
        phases = spec.phases()
        if not any(getattr(phase, "recipe", None) == "retrain" for phase in phases):
            spec = first.model_copy(update={"sparsities": sparsities})
        dense = needs_dense(method, phases)
        epochs = epochs_of(phases)
        parents = (dense_spec(spec).key,) if dense and name != "dense" else ()
        found.append(Planned(spec, parents, epochs, epochs + (study.recipe.epochs if parents else 0)))
    return found
