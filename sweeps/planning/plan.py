"""The trials of a study and what each needs: pure arithmetic on the study file, without torch or
Ray."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby, product
from typing import Any

from pruning import registry
from pruning.phases import Measure, Phase, Reinitialise
from pruning.user_error import UserError
from sweeps.planning.trial_phases import list_phases
from sweeps.planning.trial_start import find_start, name_augment_files
from sweeps.study_file.study import StudySpec
from trainables.trial_spec import TrialSpec, dense_spec, epochs_of, needs_dense, rewind_epochs_of

TRIALS = 100_000  # of a study; the driver takes about 20 ms for each
STEPS = 1_000_000  # of a trial, which holds them in a list


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan: what it is, the keys of the trials it needs, and the epochs it trains
    itself.

    `alone` is the number of epochs if nothing were shared: if every sparsity that it measures were
    reached by a separate trial, in the same phases, from a separate dense training.
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
    """All trials of a study, dense trainings first, then by falling number of epochs, so that the
    tail is short.

    keep_networks: whether a trial is done only when its networks are saved, too.
    """

    trials: tuple[PlannedTrial, ...]
    keep_networks: bool = False

    @cached_property
    def by_key(self) -> dict[str, PlannedTrial]:
        """Trials by key."""
        return {trial.key: trial for trial in self.trials}

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Keys of the trials that need a trial, by its key."""
        children: dict[str, list[str]] = {}
        for trial in self.trials:
            for parent in trial.parents:
                children.setdefault(parent, []).append(trial.key)
        return children

    def epochs(self, keys: Iterable[str] | None = None) -> int:
        """Epochs to train for these trials, or for all."""
        return sum(self.by_key[key].epochs for key in (self.by_key if keys is None else keys))

    @property
    def sharing(self) -> float:
        """Epochs to train, as a fraction of those if nothing were shared."""
        return self.epochs() / self.alone if self.alone else 1.0

    @property
    def alone(self) -> int:
        """Epochs to train if nothing were shared."""
        return sum(trial.alone for trial in self.trials)

    def by_method(self) -> dict[str, list[PlannedTrial]]:
        """Trials by method, sorted by name."""
        ordered = sorted(self.trials, key=lambda trial: trial.spec.method)
        return {
            name: list(group)
            for name, group in groupby(ordered, key=lambda trial: trial.spec.method)
        }

    @property
    def sources(self) -> dict[str, str]:
        """SHA-256 of the user's method files that the trials run, by name of the method."""
        return {
            name: digest for trial in self.trials for name, digest in trial.spec.sources.items()
        }

    @property
    def augment_sources(self) -> dict[str, str]:
        """SHA-256 of the files of the user's augmentations, by name of the function."""
        return {
            name: digest
            for trial in self.trials
            for name, digest in trial.spec.augment_sources.items()
        }

    def to_json(self) -> bytes:
        """What is expected of the study, for the analysis: `plan.json`."""
        trials = [describe_trial(trial) for trial in self.trials]
        cards = {name: describe_method(name) for name in self.by_method()}
        whole: dict[str, Any] = {"trials": trials, "cards": cards, "sources": self.sources}
        if self.augment_sources:
            whole["augment_sources"] = self.augment_sources
        return json.dumps(whole, indent=1, default=str).encode()


def describe_method(name: str) -> dict[str, Any]:
    """The card of a method and its knobs with their defaults, as an entry of `plan.json`."""
    method = registry.find_method_class(name)
    return {
        **asdict(method.card),
        "knobs": {knob: field.default for knob, field in method.model_fields.items()},
    }


def describe_trial(trial: PlannedTrial) -> dict[str, Any]:
    """One trial as an entry of `plan.json`."""
    return {
        **trial.spec.columns(),
        "sparsities": list(trial.spec.sparsities),
        "parents": list(trial.parents),
    }


def make_plan(study: StudySpec, *, test: bool = True) -> Plan:
    """The trials of a study: every method and knob setting, at every sparsity, with every seed, and
    the dense ones.

    Args:
        test: whether the trials may read the test set.

    Raises:
        UserError: more than `TRIALS` of them, more than `STEPS` in one, or a method or network that
            refuses the study.
    """
    specs = [_list_specs(setting, study.seeds[0], test) for setting in study.settings]
    if (total := len(study.seeds) * sum(1 + len(listed) for listed in specs)) > TRIALS:
        raise UserError(
            f"a study must have at most {TRIALS:,} trials, but this one has {total:,}: "
            "ask for fewer at once"
        )
    phases = iter(list_phases(study, [spec for listed in specs for spec in listed]))
    outlines = [
        _match_longest([_outline(spec, next(phases)) for spec in listed], setting.recipe.epochs)
        for setting, listed in zip(study.settings, specs, strict=True)
    ]
    planned: dict[str, PlannedTrial] = {}
    rewound: dict[str, set[int]] = {}
    for (setting, listed), seed in product(zip(study.settings, outlines, strict=True), study.seeds):
        base = _dense_spec(setting, seed, test)
        shared = setting.recipe.epochs
        planned[base.key] = PlannedTrial(base, (), shared, shared)
        for outline in listed:
            spec = outline.spec.model_copy(update={"seed": seed})
            parents = (base.key,) if outline.dense else ()
            starts = shared * len(outline.reached) if parents else 0
            trial = PlannedTrial(spec, parents, outline.epochs, sum(outline.reached) + starts)
            planned[trial.key] = trial
            if parents:
                rewound.setdefault(base.key, set()).update(outline.rewind_epochs)
    for key, epochs in rewound.items():
        dense = planned[key]
        planned[key] = replace(dense, spec=dense_spec(dense.spec, tuple(sorted(epochs))))
    in_order = sorted(
        planned.values(), key=lambda trial: (trial.spec.method != "dense", -trial.epochs)
    )
    return Plan(tuple(in_order), keep_networks=study.keep_networks == "all")


@dataclass(frozen=True)
class _Outline:
    """What the trials of all seeds share: the spec (of one of them), whether it needs the dense
    training, its epochs, those after which it has measured each sparsity, and those of the dense
    training that it goes back to."""

    spec: TrialSpec
    dense: bool
    epochs: int
    reached: tuple[int, ...]
    rewind_epochs: tuple[int, ...]


def _dense_spec(setting: StudySpec, seed: int, test: bool) -> TrialSpec:
    """The dense trial of one setting and seed."""
    return name_augment_files(
        TrialSpec(
            dataset=setting.dataset,
            model=setting.model,
            method="dense",
            seed=seed,
            recipe=setting.recipe,
            test=test,
            **find_start(setting),
        ).of_ranks(setting.resources.ranks)
    )


def _list_specs(setting: StudySpec, seed: int, test: bool) -> list[TrialSpec]:
    """The trials of one setting for one seed, without the dense one."""
    specs = []
    for entry in setting.methods:
        for knobs in entry.choices():
            first = TrialSpec(
                dataset=setting.dataset,
                model=setting.model,
                method=entry.name,
                knobs=knobs,
                seed=seed,
                recipe=setting.recipe,
                retrain=setting.retrain,
                test=test,
                **find_start(setting),
                sources=registry.digest_user_files(entry.name, knobs),
            ).of_ranks(setting.resources.ranks)
            method = first.build_method()
            if method.prunes:
                chosen = {
                    "exclude": tuple(setting.exclude),
                    "layer_sparsity": setting.layer_sparsity,
                }
                first = first.model_copy(update=chosen)
            for sparsities in method.trials(tuple(setting.sparsities)):
                if not method.prunes or not sparsities or sparsities[-1] > 0:
                    specs.append(first.model_copy(update={"sparsities": sparsities}))
    return specs


def _outline(spec: TrialSpec, phases: list[Phase]) -> _Outline:
    epochs = epochs_of(phases)
    if epochs + len(phases) > STEPS:
        raise UserError(
            f"a trial must train at most {STEPS:,} epochs, but method '{spec.method}' would train "
            f"{epochs:,}"
        )
    draws = any(isinstance(phase, Reinitialise) for phase in phases)
    if draws and spec.weights and not spec.recipe.epochs:
        raise UserError(
            f"method '{spec.method}' draws its weights anew and trains them by the recipe, which "
            "has no epochs: leave the method out, or give recipe.epochs"
        )
    dense = spec.method != "dense" and needs_dense(spec.build_method(), phases)
    if not any(getattr(phase, "recipe", None) == "retrain" for phase in phases):
        spec = spec.model_copy(update={"retrain": None}).of_ranks(spec.norm_parts)
    spec = name_augment_files(spec)
    return _Outline(spec, dense, epochs, _epochs_at_each_sparsity(phases), rewind_epochs_of(phases))


def _match_longest(outlines: list[_Outline], dense_epochs: int) -> list[_Outline]:
    """The trials of a setting; those that shall train for as long as its longest method have that
    number of epochs among their knobs."""
    totals = [
        outline.epochs + (dense_epochs if outline.dense else 0)
        for outline in outlines
        if registry.find_method_class(outline.spec.method).card.kind != "control"
    ]
    longest = max([dense_epochs, *totals])
    return [_set_longest(outline, longest) for outline in outlines]


def _set_longest(outline: _Outline, longest: int) -> _Outline:
    """A trial with the epochs of the longest method, where its method has a knob for them that the
    study leaves out."""
    spec = outline.spec
    knob = registry.find_method_class(spec.method).longest_knob
    if knob is None or knob in spec.knobs or not longest:
        return outline
    spec = spec.model_copy(update={"knobs": {**spec.knobs, knob: longest}})
    return _outline(spec, spec.phases())


def _epochs_at_each_sparsity(phases: list[Phase]) -> tuple[int, ...]:
    """Epochs that a trial has trained when it last measures each of its sparsities."""
    trained, reached = 0, {}
    for phase in phases:
        trained += epochs_of([phase])
        if isinstance(phase, Measure):
            reached[phase.sparsity] = trained
    return tuple(reached.values())
