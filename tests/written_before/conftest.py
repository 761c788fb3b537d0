"""Study directories of an earlier version, as copies, and the network of their trials."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeps.running.stop_request import StopRequest
from tests.written_before.as_before import WRITTEN


@pytest.fixture(autouse=True)
def _no_stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(WRITTEN))  # the network of all these directories lies here
    yield
    StopRequest.reason = ""


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Path]:
    """Copies one of the directories to a place where it may be gone on with."""
    return lambda name: Path(shutil.copytree(WRITTEN / name, tmp_path / name))
