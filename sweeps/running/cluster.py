"""The connection to a Ray cluster: one that runs, or one started on this machine."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.job_config import JobConfig

from pruning.user_error import UserError
from sweeps.running.connection_errors import (
    check_answer,
    check_owner,
    explain_connection_error,
)
from sweeps.running.deadline import deadline
from sweeps.running.leftovers import marked_session
from sweeps.running.local_ray import (
    choose_places,
    daemons_in_own_session,
    find_session_folder,
    stay_on_this_machine,
    watch_gcs,
)
from sweeps.running.process_limits import check_limits
from sweeps.running.python_path import worker_variables
from sweeps.running.stop_request import StopRequest
from sweeps.study_file.study_fields import Resources
from trainables.command_line import raise_on_signals

START_SECONDS = 300.0  # that Ray may take; 5 to 20 on a machine that is not very busy
END_SECONDS = 60.0
NOT_STARTED = (
    "Ray did not start, or did not answer, for {seconds:.0f} s: see ulimit -u and -v, which may "
    "leave it too few threads or too little memory, and its logs"
)
NOT_ENDED = "Ray did not end for {seconds:.0f} s; the same command continues"
PENDING_TRIALS = 16  # that Tune lets wait for a worker, so that a cluster sees them and grows

# Ray and Tune read these from the environment of the driver and offer no other way.
ENVIRONMENT = {
    # No CSV, JSON and TensorBoard files beside our own records.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # interruption is handled in `stop_request`
    "TUNE_WARN_THRESHOLD_S": "30",
    "RAY_AIR_NEW_OUTPUT": "0",  # its tables ignore verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


@contextmanager
def connected(address: str | None, *, pending_trials: int = PENDING_TRIALS) -> Iterator[bool]:
    """A connection to a Ray cluster: the one at `address`, else a running one, else one started on
    this machine.

    Yields whether it was started here, in which case it cannot grow.

    `address` "local" always starts one. Workers find the project's packages and the modules of the
    user, so that trials run from a fresh checkout, and with networks of the user.

    Args:
        pending_trials: how many trials may wait for a worker. With a searcher that is not Tune's,
            Tune by itself lets one wait: trials would start one by one, and no cluster would grow.

    Raises:
        UserError: no cluster of the same versions answers at `address`, or none can be started
            here.
    """
    raise_on_signals()  # Ray has set handlers of its own
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(pending_trials))
    with worker_variables() as workers:
        started_here = address == "local" or (address is None and not is_running())
        place = "" if started_here else address or os.environ.get("RAY_ADDRESS") or "auto"
        check_answer(place, from_variable=not address)
        if place == "auto" and (running := find_running()):
            check_owner(running)
            print(
                f"using the Ray cluster at {running} that runs on this machine "
                "(--address local starts one for this command alone)",
                flush=True,
            )
        shared: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not place.startswith("ray://"):
            shared["job_config"] = OwnPathJobConfig()
        try:
            if started_here:
                stay_on_this_machine()
                places = {**choose_places(), **check_limits()}
                with deadline(START_SECONDS, NOT_STARTED), daemons_in_own_session():
                    ray.init(address="local", include_dashboard=False, **places, **shared)
            else:
                with deadline(START_SECONDS, NOT_STARTED):
                    ray.init(address=address or "auto", runtime_env={"env_vars": workers}, **shared)
        except UserError:
            raise
        except SystemExit:  # Ray's own answer to SIGTERM
            raise KeyboardInterrupt from None
        except Exception as error:  # Ray raises the plain class, too
            raise UserError(explain_connection_error(error, place)) from None
        raise_on_signals()
        _silence_ray()
        try:
            if started_here:
                with watch_gcs(StopRequest.make), marked_session(find_session_folder()):
                    yield True
            else:
                yield False
        finally:
            with deadline(END_SECONDS, NOT_ENDED):
                ray.shutdown()


class OwnPathJobConfig(JobConfig):
    """What Ray is told of a command, but not to search the command's folder and the current one
    before Python's own modules in every worker: a `queue.py` beside a study would end it."""

    def _runtime_env_has_working_dir(self) -> bool:
        return True


def _silence_ray() -> None:
    """Keep Ray's paragraphs about lost workers off the terminal: the progress prints one line for
    each."""
    from ray._private import worker

    # Private, since Ray has no switch for it; where it is absent there is only more to read.
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, ignore_prefix: None


def is_running() -> bool:
    """Whether this machine belongs to a cluster made by `ray start` or `ray up`, or one is named in
    RAY_ADDRESS.

    The private cluster of another study on this machine does not count: it ends with that study.
    """
    if os.environ.get("RAY_ADDRESS"):
        return True
    return bool(find_running())


def find_running() -> str:
    """The address of the cluster that `ray start` or `ray up` made of this machine; "" where there
    is none."""
    from ray._private.services import find_bootstrap_address, find_gcs_addresses

    address = find_bootstrap_address(None)
    return str(address) if address in find_gcs_addresses() else ""


def find_dashboard() -> str:
    """The address of the dashboard of the connected cluster; "" where none runs."""
    from ray._private.worker import get_dashboard_url

    url = get_dashboard_url()
    return "" if not url else url if "://" in url else f"http://{url}"


def find_slots(resources: Resources) -> tuple[int, str]:
    """How many trials the connected cluster can run at once, and what it has in words; (0, "")
    while it is away."""
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    except Exception:  # the cluster may be going down at this moment
        return 0, ""
    slots = 0
    for node in alive:
        fits = node.get("CPU", 0) / resources.cpus_per_trial
        if resources.gpus_per_trial:
            fits = min(fits, node.get("GPU", 0) / resources.gpus_per_trial)
        slots += int(fits)
    has = [f"{sum(node.get(kind, 0) for node in alive):g} {kind}s" for kind in ("CPU", "GPU")]
    shown = [text for text in has if not text.startswith("0 ")]
    return (
        slots,
        f"{', '.join(shown) or 'nothing'} on {len(alive)} node{'' if len(alive) == 1 else 's'}",
    )


def check_cluster(resources: Resources, *, say: Callable[[str], None], started_here: bool) -> None:
    """Print what a trial wants that the connected cluster does not have yet, and where Ray's
    dashboard is.

    Raises:
        UserError: no trial fits, and the cluster cannot grow, because it was started here.
    """
    if reason := find_shortage(resources):
        if started_here:
            raise UserError(reason)
        say(f"waiting for the cluster to grow: {reason}")
    if dashboard := find_dashboard():
        say(f"Ray's dashboard: {dashboard}")


def find_shortage(resources: Resources) -> str | None:
    """Why no node of the connected cluster can hold one trial now; None where one can."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for kind, wanted in (("CPU", resources.cpus_per_trial), ("GPU", resources.gpus_per_trial)):
        most = max((node.get(kind, 0) for node in alive), default=0)
        if wanted > most:
            return (
                f"a trial asks for {wanted:g} {kind}s, but the largest node of the cluster has "
                f"{most:g}; lower --{kind.lower()}s-per-trial"
            )
    return None
