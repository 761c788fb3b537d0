"""The figures that are saved while a test runs."""

import pytest
from matplotlib.figure import Figure

from analysis.figures.canvas import Canvas


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Canvas.save

    def keep(self: Canvas, kinds: tuple[str, ...]) -> tuple[dict[str, bytes], tuple[int, int]]:
        figures.append(self.figure)
        return save(self, kinds)

    monkeypatch.setattr(Canvas, "save", keep)
    return figures
