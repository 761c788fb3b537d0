"""What the tests of the latency pass share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.planning.plan import make_plan
from tests.sweeps.running.timed_study import Study, build
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.trial import Trial


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study directory of `STUDY`, every trial done."""
    folder = tmp_path_factory.mktemp("study")
    for trial in make_plan(build()).trials:
        Trial(trial.spec, Environment(store=str(folder))).run()
    return folder


@pytest.fixture
def timed(finished: Path) -> Iterator[Study]:
    """The finished study without latencies."""
    yield Study(finished, build())
    Store.at(finished).delete("latency")
