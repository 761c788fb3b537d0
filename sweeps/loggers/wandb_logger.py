"""The Weights & Biases logger: the study is a project, a trial is a run; its id comes from the key
and the study directory."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import wandb

from pruning.user_error import UserError
from sweeps.loggers.logged_numbers import EpochNumbers, level_numbers

OFFLINE = ("offline", "dryrun", "disabled")


def check() -> None:
    """Check that runs have somewhere to go.

    Raises:
        UserError: there is a server, but nobody is logged in.
    """
    if not _is_offline() and not wandb.login(prompt=False):
        raise UserError(
            "--log wandb: nobody is logged in here: run `wandb login`, or set WANDB_MODE=offline"
        )


def open_logger(study: str, identity: str, folder: Path) -> "WandbLogger":
    """Runs on the server, or with WANDB_MODE=offline in files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(study, identity, folder, offline=_is_offline())


def _is_offline() -> bool:
    return os.environ.get("WANDB_MODE", "").lower() in OFFLINE


class WandbLogger:
    """Runs of one project."""

    name = "wandb"

    def __init__(self, study: str, identity: str, folder: Path, *, offline: bool) -> None:
        self._study, self._identity, self._folder, self._offline = study, identity, folder, offline
        self.place = str(folder / "wandb") if offline else f"project {study}"
        self._runs: dict[str, wandb.Run] = {}

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Continue the trial's run, or create it. What was written offline is written anew, from
        the first epoch."""
        if key in self._runs:
            self.interrupt(key)
        run_id = hashlib.sha256(f"{self._identity} {key}".encode()).hexdigest()[:16]
        if self._offline:
            for path in self._folder.glob(f"wandb/offline-run-*-{run_id}"):
                shutil.rmtree(path, ignore_errors=True)
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,  # of the driver's machine, which trains nothing
            init_timeout=300 if self._offline else 30,  # offline only a busy machine delays it
        )
        run = self._runs[key] = wandb.init(
            project=self._study,
            id=run_id,
            name=key,
            config=params,
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        run.define_metric("*", step_metric="epoch")
        return int(run.summary.get("epoch", 0))

    def log(self, key: str, epochs: list[EpochNumbers]) -> None:
        """One step for each epoch."""
        for epoch in epochs:
            self._runs[key].log({**epoch.numbers, "epoch": epoch.epoch}, step=epoch.epoch)

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """One step for each level, after those of the epochs."""
        run = self._runs[key]
        for step, row in enumerate(levels, max((row["epochs"] for row in levels), default=0) + 1):
            run.define_metric(f"{row['stage']}/*", step_metric="level")
            run.log({**level_numbers(row), "level": row["level"]}, step=step)
        if error:
            run.summary["error"] = error
        elif run.summary.get("error"):  # of an earlier attempt
            del run.summary["error"]
        self._runs.pop(key).finish(exit_code=1 if error else 0)

    def interrupt(self, key: str) -> None:
        """Mark the run as interrupted, to be continued."""
        run = self._runs.pop(key)
        if not self._offline:
            run.mark_preempting()
        run.finish(exit_code=255)
