"""The MLflow logger: the study is an experiment, a trial a run that is found again by its tags."""

import logging
import os
import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pruning.user_error import UserError
from sweeps.loggers.logged_numbers import EpochNumbers, level_numbers

AT_ONCE = 500  # metrics; a server takes at most 1,000
LONGEST = 250  # characters of a parameter that the oldest supported server takes


def check() -> None:
    """Check that runs have somewhere to go.

    Raises:
        UserError: no server is named, and the package that keeps a local database is missing.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and find_spec("sqlalchemy") is None:
        raise UserError(
            "--log mlflow needs a server (MLFLOW_TRACKING_URI=http://HOST:PORT) "
            "or: pip install mlflow"
        )


def open_logger(study: str, identity: str, folder: Path) -> "MlflowLogger":
    """Runs at MLFLOW_TRACKING_URI, else in a database below `folder`."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # By itself MLflow would try for minutes; it takes these from the environment only.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    place = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not place:
        folder.mkdir(parents=True, exist_ok=True)
        place = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowLogger(study, identity, place)


class MlflowLogger:
    """Runs of one experiment."""

    name = "mlflow"

    def __init__(self, study: str, identity: str, place: str) -> None:
        self._study, self._identity, self.place = study, identity, place
        self._experiment = ""
        self._runs: dict[str, str] = {}

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.place)

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Continue the trial's run, or create it."""
        experiment = self._experiment = self._experiment or self._find_experiment()
        this_trial = f"tags.`study.key` = '{key}' and tags.`study.identity` = '{self._identity}'"
        if runs := self._client.search_runs([experiment], filter_string=this_trial, max_results=1):
            run = runs[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {"study.key": key, "study.identity": self._identity}
            run = self._client.create_run(experiment, run_name=key, tags=tags)
            parameters = [Param(name, value[:LONGEST]) for name, value in params.items()]
            self._client.log_batch(run.info.run_id, params=parameters)
        self._runs[key] = run.info.run_id
        return int(run.data.metrics.get("epoch", 0))

    def _find_experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(self._study)
        if experiment:
            return str(experiment.experiment_id)
        return str(self._client.create_experiment(self._study))

    def log(self, key: str, epochs: list[EpochNumbers]) -> None:
        """Metrics, by epoch. `epoch` itself is logged last, so that it counts what is there."""
        now = round(time.time() * 1000)
        metrics = [
            Metric(name, value, now, epoch.epoch)
            for epoch in epochs
            for name, value in [*epoch.numbers.items(), ("epoch", epoch.epoch)]
        ]
        self._log(key, metrics)

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """Metrics of the levels, by level."""
        now = round(time.time() * 1000)
        numbers = [
            (name, value, row["level"])
            for row in levels
            for name, value in level_numbers(row).items()
        ]
        known = self._client.get_run(self._runs[key]).data
        if numbers and numbers[0][0] not in known.metrics:
            self._log(key, [Metric(name, value, now, step) for name, value, step in numbers])
        if error:
            self._client.set_tag(self._runs[key], "error", error)
        elif "error" in known.tags:  # of an earlier attempt
            self._client.delete_tag(self._runs[key], "error")
        self._client.set_terminated(self._runs.pop(key), status="FAILED" if error else "FINISHED")

    def interrupt(self, key: str) -> None:
        """Mark the run as interrupted."""
        self._client.set_terminated(self._runs.pop(key), status="KILLED")

    def _log(self, key: str, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self._runs[key], metrics=metrics[start : start + AT_ONCE])
