"""The launch of a study: its missing trials on a Ray cluster, from the checks before it to the
reason why it ended."""

import math
from collections.abc import Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pruning.user_error import UserError
from sweeps.live_view.watch import watch_run
from sweeps.planning.model_sources import digest_models
from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import TrialStatus
from sweeps.running.process_limits import check_address_space
from sweeps.study_file.study import StudySpec
from sweeps.study_file.study_fields import Resources
from trainables.environment import Environment
from trainables.storage.launch_token import launch_token
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.live_view.terminal_view import TerminalView
    from sweeps.loggers.log_queue import LogQueue
    from sweeps.running.progress import Progress


@dataclass(frozen=True)
class RunOptions:
    """How a study is run.

    address: of a Ray cluster; None: a running one, else one that is started here. log: names of
    loggers, separated by commas. measure_latency: time the networks afterwards. fresh: delete what
    is there first.
    """

    address: str | None = None
    log: str | None = None
    watch: bool = False
    measure_latency: bool = False
    retry_failed: bool = False
    fresh: bool = False


class LaunchEnd(NamedTuple):
    """How a launch ended: why it stopped before its end, "" where it did not, and the trials whose
    workers said that they are done."""

    stopped: str
    done: Set[str] = frozenset()


class Runnable(Protocol):
    """What a study and a search say of how their trials are executed."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def data_dir(self) -> str | None: ...

    @property
    def resources(self) -> Resources: ...

    @property
    def checkpoint_seconds(self) -> float: ...


def make_environment(spec: Runnable, store: Store, *, launch: str = "") -> Environment:
    """How the trials of a study or a search are executed, in the launch with that token."""
    return Environment(
        store=store.uri,
        study=spec.name,
        launch=launch,
        model_sources=digest_models(
            [setting.model for setting in spec.settings]
            if isinstance(spec, StudySpec)
            else [spec.model]
        ),
        data_dir=spec.data_dir,
        device="cuda" if spec.resources.gpus_per_trial else "cpu",
        threads=spec.resources.threads,
        ranks=spec.resources.ranks,
        checkpoint_seconds=spec.checkpoint_seconds,
        keep_networks=spec.keep_networks if isinstance(spec, StudySpec) else "none",
        images=spec.resources.images,
        loader_workers=spec.resources.workers,
        deterministic=spec.resources.deterministic,
        cuda_graphs=spec.resources.cuda_graphs,
        sharing_gpu=max(1, math.floor(1 / (spec.resources.gpus_per_trial or 1))),
    )


def check_machine(spec: StudySpec, plan: Plan, status: TrialStatus, how: RunOptions) -> None:
    """See that this machine can launch the missing trials, and prepare their data: before the study
    directory is changed, so that a launch that is refused costs nothing that is there.

    Raises:
        UserError: there is no GPU, data or memory as the study wants it.
    """
    check_address_space()  # before Ray is imported, which may fail for want of it
    if spec.resources.gpus_per_trial and not how.address:
        _check_gpus(spec, plan, status)
    _prepare_data(spec)


def launch_missing_trials(
    spec: StudySpec,
    plan: Plan,
    status: TrialStatus,
    store: Store,
    how: RunOptions,
    loggers: "Sequence[LogQueue]",
) -> LaunchEnd:
    """Run the missing trials.

    Raises:
        UserError: there is no cluster as the study wants it.
    """
    from sweeps.estimate.spent import Account
    from sweeps.estimate.time_per_trial import share_of_device
    from sweeps.running.cluster import check_cluster, connected
    from sweeps.running.gpu_spread import count_gpus, spread_over_gpus
    from sweeps.running.progress import Progress
    from sweeps.running.run import run_plan

    titles = {key: trial.title for key, trial in plan.by_key.items()}
    account = Account(spec.prices, share_of_device(spec.resources), status.spent)
    epochs = {key: plan.by_key[key].epochs for key in status.missing}
    progress = Progress(titles, epochs, account=account)
    verb = "continuing" if len(status.missing) < len(titles) else "starting"
    counts = f"{len(status.done)} of {len(titles)} trials done, {len(status.missing)} to run"
    progress.say(f"{verb}: {counts}; study in {store.place()}")
    with connected(how.address) as started_here, launch_token(store) as launch:
        check_cluster(spec.resources, say=progress.say, started_here=started_here)
        resources = spread_over_gpus(spec.resources, len(status.missing), count_gpus())
        if resources != spec.resources:
            progress.say(
                f"each trial takes {resources.gpus_per_trial:g} of a GPU, so that all GPUs are used"
            )
        spread = spec.model_copy(update={"resources": resources})
        environment = make_environment(spread, store, launch=launch)
        view = _watch(spec, plan, store, progress) if how.watch else nullcontext()
        with view as live:
            if live:
                live.add_finished_trials(store, plan, status.done)
            observers = [*loggers, *([live] if live else [])]
            stopped = run_plan(plan, environment, resources, progress, observers=observers)
    return LaunchEnd(stopped, progress.done_keys)


def _check_gpus(spec: StudySpec, plan: Plan, status: TrialStatus) -> None:
    """Say what a study that wants GPUs would cost on this machine's CPU, where there is no GPU.

    Raises:
        UserError: there is none, and no running cluster that may have some.
    """
    import torch

    from sweeps.running.cluster import is_running

    if torch.cuda.is_available() or is_running():
        return
    from sweeps.estimate.plan_cost import cpu_seconds
    from sweeps.running.progress import duration

    raise UserError(
        f"study '{spec.name}' wants GPUs and this machine has none; on its CPU it would take about "
        f"{duration(cpu_seconds(spec, plan, status))}: give --gpus-per-trial 0 to do so, --address "
        "for a cluster, or run --preset digits, which takes minutes here"
    )


def _prepare_data(spec: StudySpec) -> None:
    """Prepare the data sets.

    Raises:
        UserError: a data set cannot be had.
    """
    from trainables.data import prepare

    for dataset in dict.fromkeys(setting.dataset for setting in spec.settings):
        prepare(dataset, data_dir=spec.data_dir)


def _watch(
    spec: StudySpec, plan: Plan, store: Store, progress: "Progress"
) -> "AbstractContextManager[TerminalView | None]":
    """The live view of a study, and its report kept current."""
    epochs = {key: trial.epochs for key, trial in plan.by_key.items()}
    return watch_run(
        f"study {spec.name}",
        store,
        spec.resources,
        snapshot=progress.snapshot,
        name=_describe_method,
        total=lambda key: epochs.get(key, 0),
    )


def _describe_method(key: str, spec: dict[str, Any]) -> str:
    """What a trial is called in the live view, whatever its sparsity and seed."""
    knobs = ", ".join(f"{name}={value}" for name, value in spec["knobs"].items())
    return f"{spec['method']} ({knobs})" if knobs else str(spec["method"])
