"""TensorBoard: one folder per trial. A trial that begins again writes its folder anew, so no epoch
is there twice."""

import shutil
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sweeps.loggers.epochs import Point
from sweeps.loggers.selection import read_numbers


def check() -> None:
    """Nothing is needed but the package."""


def open_sink(study: str, identity: str, folder: Path) -> "TensorBoardSink":
    """Runs below `<folder>/tensorboard`."""
    return TensorBoardSink(folder / "tensorboard")


class TensorBoardSink:
    """Event files in `<folder>/<key>`."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder, self.place = folder, str(folder)
        self._writers: dict[str, SummaryWriter] = {}
        self._params: dict[str, dict[str, str]] = {}

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Open a trial's folder, empty."""
        if key in self._writers:
            self.leave(key)
        shutil.rmtree(self._folder / key, ignore_errors=True)
        self._writers[key] = SummaryWriter(str(self._folder / key), flush_secs=10)
        self._params[key] = params
        return 0

    def log(self, key: str, points: list[Point]) -> None:
        """Scalars, by epoch."""
        for point in points:
            for name, value in point.numbers.items():
                self._writers[key].add_scalar(name, value, point.epoch)

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """Scalars of the levels, by level; of the last one also in the table of hyperparameters."""
        writer = self._writers[key]
        for row in levels:
            for name, value in read_numbers(row).items():
                writer.add_scalar(name, value, row["level"])
        if error:
            writer.add_text("error", error)
        last = read_numbers(levels[-1]) if levels else {}
        for summary in hparams(self._params[key], last):
            writer._get_file_writer().add_summary(
                summary
            )  # `add_hparams` would open a second folder for them
        self.leave(key)

    def leave(self, key: str) -> None:
        """Close the file."""
        self._writers.pop(key).close()
