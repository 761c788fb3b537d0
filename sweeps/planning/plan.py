"""The trials of a study and what each needs: pure arithmetic on the study file, without torch or
Ray."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby, product
from typing import Any, NoReturn

from pruning import registry
from pruning.phases import Measure, Phase
from pruning.user_error import UserError
from sweeps.study_file.study import StudySpec
from trainables.trial_spec import TrialSpec, dense_spec, epochs_of, needs_dense, rewinds

TRIALS = 100_000  # of a study; the driver takes about 20 ms for each
STEPS = 1_000_000  # of a trial; they are kept in a list


@dataclass(frozen=True)
class Planned:
    """One trial of a plan: what it is, the keys of the trials it needs, and the epochs it trains
    itself.

    `alone` is the number of epochs if nothing were shared: if every sparsity that it measures were
    reached by a trial of its own, by the same course, from a dense training of its own.
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

    keep_networks: whether a trial is done only when its networks are kept, too.
    """

    trials: tuple[Planned, ...]
    keep_networks: bool = False

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
        """Epochs to train, as a fraction of those if nothing were shared."""
        return self.epochs() / self.alone if self.alone else 1.0

    @property
    def alone(self) -> int:
        """Epochs to train if nothing were shared."""
        return sum(trial.alone for trial in self.trials)

    def by_method(self) -> dict[str, list[Planned]]:
        """Trials by method, sorted by name."""
        ordered = sorted(self.trials, key=lambda trial: trial.spec.method)
        return {
            name: list(group)
            for name, group in groupby(ordered, key=lambda trial: trial.spec.method)
        }

    @property
    def sources(self) -> dict[str, str]:
        """SHA-256 of the files of the user's own methods that the trials run, by name."""
        return {
            name: digest for trial in self.trials for name, digest in trial.spec.sources.items()
        }

    def to_json(self) -> bytes:
        """What is expected of the study, for the analysis: `plan.json`."""
        trials = [describe(trial) for trial in self.trials]
        cards = {name: describe_method(name) for name in self.by_method()}
        whole = {"trials": trials, "cards": cards, "sources": self.sources}
        return json.dumps(whole, indent=1, default=str).encode()


def describe_method(name: str) -> dict[str, Any]:
    """The card of a method and its knobs with their defaults, as an entry of `plan.json`."""
    method = registry.find(name)
    return {
        **asdict(method.card),
        "knobs": {knob: field.default for knob, field in method.model_fields.items()},
    }


def describe(trial: Planned) -> dict[str, Any]:
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
    asked = [_specs(setting, study.seeds[0], test) for setting in study.settings]
    if (total := len(study.seeds) * sum(1 + len(specs) for specs in asked)) > TRIALS:
        raise UserError(
            f"a study must have at most {TRIALS:,} trials, but this one has {total:,}: ask for fewer at once"
        )
    courses = iter(_courses(study, [spec for specs in asked for spec in specs]))
    outlines = [[_outline(spec, next(courses)) for spec in specs] for specs in asked]
    planned: dict[str, Planned] = {}
    rewound: dict[str, set[int]] = {}
    for (setting, listed), seed in product(zip(study.settings, outlines, strict=True), study.seeds):
        base = _dense(setting, seed, test)
        shared = setting.recipe.epochs
        planned[base.key] = Planned(base, (), shared, shared)
        for outline in listed:
            spec = outline.spec.model_copy(update={"seed": seed})
            parents = (base.key,) if outline.dense else ()
            starts = shared * len(outline.reached) if parents else 0
            trial = Planned(spec, parents, outline.epochs, sum(outline.reached) + starts)
            planned[trial.key] = trial
            if parents:
                rewound.setdefault(base.key, set()).update(outline.rewinds)
    for key, epochs in rewound.items():
        dense = planned[key]
        planned[key] = replace(dense, spec=dense_spec(dense.spec, tuple(sorted(epochs))))
    in_order = tuple(sorted(planned.values(), key=lambda t: (t.spec.method != "dense", -t.epochs)))
    return Plan(in_order, keep_networks=study.keep_networks == "all")


@dataclass(frozen=True)
class _Outline:
    """What the trials of all seeds share: the spec (of one of them), whether it needs the dense
    training, its epochs, those after which it has measured each sparsity, and those of the dense
    training that it goes back to."""

    spec: TrialSpec
    dense: bool
    epochs: int
    reached: tuple[int, ...]
    rewinds: tuple[int, ...]


def _dense(setting: StudySpec, seed: int, test: bool) -> TrialSpec:
    """The dense trial of one setting and seed."""
    return TrialSpec(
        dataset=setting.dataset,
        model=setting.model,
        method="dense",
        seed=seed,
        recipe=setting.recipe,
        test=test,
    )


def _specs(setting: StudySpec, seed: int, test: bool) -> list[TrialSpec]:
    """The trials of one setting for one seed, without the dense one."""
    found = []
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
                sources=registry.sources(entry.name, knobs),
            )
            for sparsities in first.build_method().trials(tuple(setting.sparsities)):
                if entry.name == "dense" or not sparsities or sparsities[-1] > 0:
                    found.append(first.model_copy(update={"sparsities": sparsities}))
    return found


def _courses(study: StudySpec, specs: list[TrialSpec]) -> list[list[Phase]]:
    """The course of each trial. Those that depend on the network come last: a network of the user's
    own is a file that runs when it is imported, so that must wait until everything else is in
    order."""
    found = [_phases(spec, network=False) for spec in specs]
    if any(not phases and ":" in spec.model for spec, phases in zip(specs, found, strict=True)):
        study.check_data()
    return [
        phases or _phases(spec, network=True) for spec, phases in zip(specs, found, strict=True)
    ]


def _phases(spec: TrialSpec, *, network: bool) -> list[Phase]:
    """The course of a trial; empty where it depends on the network and that may not be built yet.
    """
    setting = spec.setting() if network else replace(spec.setting(), build=_withhold)
    try:
        return spec.build_method().phases(spec.sparsities, setting)
    except _Withheld:
        return []
    except (Exception, SystemExit) as error:
        if isinstance(error, UserError):
            raise UserError(str(error)) from None
        if isinstance(error, ValueError):
            raise UserError(f"method '{spec.method}': {error}") from None
        if not network or ":" not in spec.model:
            raise
        # The user's own network may fail in any way, even by ending the program.
        raise UserError(
            f"model '{spec.model}' cannot be built: {type(error).__name__}: {error}"
        ) from None


class _Withheld(Exception):
    """A course asked for the network."""


def _withhold() -> NoReturn:
    raise _Withheld


def _outline(spec: TrialSpec, phases: list[Phase]) -> _Outline:
    epochs = epochs_of(phases)
    if epochs + len(phases) > STEPS:
        raise UserError(
            f"a trial must train at most {STEPS:,} epochs, but method '{spec.method}' would train {epochs:,}"
        )
    dense = spec.method != "dense" and needs_dense(spec.build_method(), phases)
    if not any(getattr(phase, "recipe", None) == "retrain" for phase in phases):
        spec = spec.model_copy(update={"retrain": None})
    return _Outline(spec, dense, epochs, _reached(phases), rewinds(phases))


def _reached(phases: list[Phase]) -> tuple[int, ...]:
    """Epochs that a course has trained when it last measures each of its sparsities."""
    trained, found = 0, {}
    for phase in phases:
        trained += epochs_of([phase])
        if isinstance(phase, Measure):
            found[phase.sparsity] = trained
    return tuple(found.values())
