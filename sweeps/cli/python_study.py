"""A study in a script or notebook: `sweeps.Study`, of which the command line is one face."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.cli.exit_codes import DONE, FAILED, INTERRUPTED
from sweeps.cli.invocation import Invocation
from sweeps.cli.study_launch import RunOptions
from sweeps.cli.study_request import find_store, set_common_fields
from sweeps.cli.study_run import announce_changed_files, plan_study, run_study
from sweeps.planning.network_probe import check_trials
from sweeps.planning.plan import Plan
from sweeps.planning.start_weights import resolve_weights
from sweeps.planning.trial_status import (
    TrialStatus,
    check_erasable,
    read_trial_status,
    status_of_empty_directory,
)
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_reader import read_study_file, read_study_preset
from trainables.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

# What the command line may add to a study file; a script changes the fields themselves.
_NO_OPTIONS = Namespace(
    cpus_per_trial=None, gpus_per_trial=None, data_dir=None, model=None, weights=None,
    method_path=(),
)  # fmt: skip
_ENDS = {DONE: "done", FAILED: "failed", INTERRUPTED: "interrupted"}


@dataclass(frozen=True)
class StudyEnd:
    """How a run of a study ended, and how the study stands.

    end: "done", "failed" (some trials), "interrupted" (by Ctrl-C or the stop button; what ran has
    saved a checkpoint) or "stopped" (the study directory was lost). trials, done, missing: numbers
    of trials. failed: the error of each trial that failed, by key. not_run: trials that need one
    that failed, with it. spent: device hours and money, in words.
    """

    end: str
    trials: int
    done: int
    missing: int
    failed: dict[str, str]
    not_run: dict[str, str]
    spent: str


@dataclass(frozen=True)
class StudyPlan:
    """What a study will do: as text in the words of `--dry-run`, and its trials as a frame with
    the columns key, dataset, model, method, knobs, sparsity, seed, epochs and done."""

    text: str
    trials: pd.DataFrame

    def __repr__(self) -> str:
        return self.text


class Study:
    """A study: what is to be compared, and the directory in which its results lie.

    A run does what is missing, so it can be interrupted and repeated, here or by the command line
    (`python sweeps/full_study.py --study FILE --out DIRECTORY`), as often as one likes.
    """

    def __init__(self, *, out: str | Path | None = None, **fields: Any) -> None:
        """
        Args:
            out: the study directory or an s3:// or gs:// URI; by default `studies/<name>`.
            fields: those of a study file: name, dataset, model, methods, sparsities, seeds, ...

        Raises:
            UserError: anything in it is wrong; one line.
        """
        fields = _as_in_a_file(fields)
        set_common_fields(fields, _NO_OPTIONS)
        spec = build_study(fields, where="study")
        self._begin(spec, find_store(Namespace(out=None if out is None else str(out)), spec.name))

    @classmethod
    def from_yaml(cls, path: str | Path, *, out: str | Path | None = None, **fields: Any) -> Study:
        """The study of a file, with other values for some of its fields.

        Raises:
            UserError: the file cannot be read, or anything in it is wrong.
        """
        return cls(out=out, **{**read_study_file(path), **fields})

    @classmethod
    def from_preset(cls, name: str, *, out: str | Path | None = None, **fields: Any) -> Study:
        """A study that comes with the project, with other values for some of its fields.

        Raises:
            UserError: there is none of that name, or anything in it is wrong.
        """
        return cls(out=out, **{**read_study_preset(name), **fields})

    @classmethod
    def of(cls, spec: StudySpec, store: Store, *, fresh: bool = False) -> Study:
        """A study that is checked already, in a directory.

        Args:
            fresh: what the directory holds will be deleted, and does not matter.

        Raises:
            UserError: the directory holds another study; or see `make_plan`.
        """
        study = cls.__new__(cls)
        study._begin(spec, store, fresh=fresh)
        return study

    def _begin(self, spec: StudySpec, store: Store, *, fresh: bool = False) -> None:
        self.store = store
        self.spec = resolve_weights(spec, store)
        self.planned: Plan = plan_study(self.spec, store, fresh=fresh)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def directory(self) -> str:
        """The study directory, or its URI."""
        return self.store.place()

    def plan(self) -> StudyPlan:
        """The trials, which of them are done, and what the others will take; nothing runs.

        Raises:
            UserError: see `check_status`.
        """
        import pandas as pd

        from sweeps.estimate.plan_cost import describe_plan

        status = check_status(self.spec, self.planned, self.store)
        trials = [
            {
                **{
                    name: trial.spec.columns()[name]
                    for name in ("key", "dataset", "model", "method", "knobs", "seed")
                },
                "sparsity": trial.spec.sparsities[-1] if trial.spec.sparsities else None,
                "epochs": trial.epochs,
                "done": trial.key in status.done,
            }
            for trial in self.planned.trials
        ]
        text = describe_plan(self.spec, self.planned, status, self.store)
        return StudyPlan(text, pd.DataFrame(trials))

    def run(
        self,
        *,
        address: str | None = None,
        log: str | None = None,
        watch: bool = False,
        measure_latency: bool = False,
        retry_failed: bool = False,
        fresh: bool = False,
    ) -> StudyEnd:
        """Run what is missing, with a line for every trial that ends. Ctrl-C, or the stop button of
        a notebook, lets the running trials save a checkpoint; the next run goes on from there.

        Args:
            address: of a Ray cluster; None: a running one, else one that is started here.
            log: names of loggers, separated by commas.
            watch: keep the report current meanwhile.
            measure_latency: time the networks afterwards.
            retry_failed: run trials again that failed before.
            fresh: delete what the study directory holds and start anew.

        Raises:
            UserError: something the user can put right; one line.
        """
        how = RunOptions(
            address=address,
            log=log,
            watch=watch,
            measure_latency=measure_latency,
            retry_failed=retry_failed,
            fresh=fresh,
        )
        invocation = _FromPython("study.run", [])
        announce_changed_files(self.planned, self.store)
        code = run_study(self.spec, self.planned, self.store, how, invocation)
        found = invocation.output
        names = ("trials", "done", "missing", "failed", "not_run", "spent")
        return StudyEnd(_ENDS.get(code, "stopped"), **{name: found[name] for name in names})

    def rows(self) -> pd.DataFrame:
        """What was measured, as `analysis.load` reads it.

        Raises:
            UserError: nothing has run yet.
        """
        from analysis.tidy_rows import load

        return load(self.store)

    def report(self, metric: str = "test_top1", *, formats: Sequence[str] | None = None) -> str:
        """Write tables, figures and the page of the study, as `python -m analysis` does; returns
        the path of the page.

        Args:
            formats: of the files, see `--format` there, e.g. ["html", "png"]; None: its default.

        Raises:
            UserError: nothing has run yet.
            ValueError: there is no such metric.
        """
        from analysis.reading.load import load_study
        from analysis.report.page_files import DEFAULT_FORMATS
        from analysis.report.study_report import write_report
        from trainables.storage.layout import REPORT

        write_report(load_study(self.store), metric, formats=formats or DEFAULT_FORMATS)
        return self.store.place(f"{REPORT}/report.html")

    def __repr__(self) -> str:
        return f"Study {self.name}: {len(self.planned.trials)} trials in {self.directory}"


def check_status(
    spec: StudySpec,
    plan: Plan,
    store: Store,
    *,
    retry_failed: bool = False,
    fresh: bool = False,
) -> TrialStatus:
    """Which trials are done; the networks of those that are missing are tried out.

    Args:
        retry_failed: trials that failed before count as missing.
        fresh: all of them do.

    Raises:
        UserError: a network cannot be trained, or not be pruned by its method.
    """
    if fresh:
        check_erasable(store)
        status = status_of_empty_directory(plan)
    else:
        status = read_trial_status(plan, store, retry_failed=retry_failed)
    if status.missing:
        spec.check_data()
        check_trials(spec, (plan.by_key[key].spec for key in status.missing))
    return status


def _as_in_a_file(value: Any) -> Any:
    """What a script gives, as a study file has it: lists for tuples, ranges and arrays, numbers for
    those of numpy, texts for paths."""
    if isinstance(value, dict):
        return {name: _as_in_a_file(part) for name, part in value.items()}
    if isinstance(value, list | tuple | range):
        return [_as_in_a_file(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value


class _FromPython(Invocation):
    """A call from a script, which is continued by the same call."""

    def command_to_continue(self, *further: str) -> str:
        names = [word.removeprefix("--").replace("-", "_") for word in further]
        return f"study.run({', '.join(f'{name}=True' for name in names)})"
