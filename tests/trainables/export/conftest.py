"""A study that saves networks, and exports of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.export.small_study import DENSE, MASKED, SLIM, TICKETS
from trainables.environment import Environment
from trainables.export import export
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that saves networks: dense, masked, with channels removed, and with two levels.
    Tests must not change it."""
    folder = tmp_path_factory.mktemp("study")
    for spec in (DENSE, MASKED, SLIM, TICKETS):
        Trial(spec, Environment(store=str(folder), study="homework", keep_networks="all")).run()
    return folder


@pytest.fixture
def bare(study: Path, tmp_path: Path) -> Path:
    """The same study without its networks."""
    folder = tmp_path / "bare"
    shutil.copytree(study, folder, ignore=shutil.ignore_patterns("networks"))
    return folder


@pytest.fixture(scope="session")
def exported(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports a network in a format and form, once; tests must not change what comes back."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def find(spec: TrialSpec, to: Any = "safetensors", form: Any = None) -> Path:
        place = folder / f"{spec.method}-{to}-{form}"
        if place not in made:
            made[place] = export(spec.key, study, to=to, form=form, out=place)
        return made[place]

    return find
