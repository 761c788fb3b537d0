"""What the tests of the loggers share."""

from pathlib import Path

import pytest

from trainables.storage.store import Store


@pytest.fixture
def printed() -> list[str]:
    """The lines that were printed."""
    return []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "study")
