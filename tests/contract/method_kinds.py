"""Which methods differ in how a trial of them runs, so that a test of trials need not run all."""

import functools

import pytest

from pruning import registry
from pruning.phases import Train
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.contract.small_knobs import SMALL_KNOBS

IMAGE, CLASSES = (1, 8, 8), 10


@functools.cache
def _kind(method: str) -> tuple[object, ...]:
    """The phases of a trial, whether they change masks in training, where it starts, and whether
    its network gets smaller."""
    study = StudySpec.model_validate(
        {
            "name": "kinds",
            "dataset": "digits",
            "model": "tests.contract.small_networks:residual",
            "methods": [{method: SMALL_KNOBS.get(method, {})}],
            "sparsities": [0.8],
            "seeds": [1],
        }
    )
    spec = next(trial.spec for trial in make_plan(study).trials if trial.spec.method == method)
    phases = tuple(
        (type(phase).__name__, isinstance(phase, Train) and bool(phase.updates))
        for phase in spec.phases(IMAGE, CLASSES)
    )
    built = spec.build_method()
    return phases, built.starts_from, built.cuts_channels


@functools.cache
def list_first_of_each_kind() -> tuple[str, ...]:
    """By name the first method of each kind."""
    return tuple({_kind(name): name for name in reversed(registry.list_methods())}.values())


def one_of_each_kind_first() -> list[object]:
    """All methods as parameters of a test, those that run as another one does as slow ones."""
    quick = list_first_of_each_kind()
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow)
        for name in registry.list_methods()
    ]
