"""The TensorBoard logger: one folder per trial. A trial that starts again writes its folder anew,
so no epoch is there twice."""

import shutil
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sweeps.loggers.logged_numbers import EpochNumbers, level_numbers


def check() -> None:
    """Nothing is needed but the package."""


def open_logger(study: str, identity: str, folder: Path) -> "TensorBoardLogger":
    """Runs below `<folder>/tensorboard`."""
    return TensorBoardLogger(folder / "tensorboard")


class TensorBoardLogger:
    """Event files in `<folder>/<key>`."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder, self.place = folder, str(folder)
        self._writers: dict[str, SummaryWriter] = {}
        self._params: dict[str, dict[str, str]] = {}

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Open a trial's folder, empty."""
        if key in self._writers:
            self.interrupt(key)
        shutil.rmtree(self._folder / key, ignore_errors=True)
        self._writers[key] = SummaryWriter(str(self._folder / key), flush_secs=10)
        self._params[key] = params
        return 0

    def log(self, key: str, epochs: list[EpochNumbers]) -> None:
        """Scalars, by epoch."""
        for epoch in epochs:
            for name, value in epoch.numbers.items():
                self._writers[key].add_scalar(name, value, epoch.epoch)

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """Scalars of the levels, by level; of the last one also in the table of hyperparameters."""
        writer = self._writers[key]
        for row in levels:
            for name, value in level_numbers(row).items():
                writer.add_scalar(name, value, row["level"])
        if error:
            writer.add_text("error", error)
        last = level_numbers(levels[-1]) if levels else {}
        for summary in hparams(self._params[key], last):
            # `add_hparams` would open a second folder for them.
            writer._get_file_writer().add_summary(summary)
        self.interrupt(key)

    def interrupt(self, key: str) -> None:
        """Close the file."""
        self._writers.pop(key).close()
