"""The connection to a Ray cluster: one that runs, or one started on this machine."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from pruning.user_error import UserError
from sweeps.study_file.study_fields import Resources

ROOT = Path(__file__).resolve().parents[2]
CONNECT_SECONDS = 5.0  # that a cluster may take to answer; Ray by itself tries for minutes

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

    `address` "local" always starts one. The project's folder and the current one are put on the
    workers' path, so that trials run from a fresh checkout, and with networks of the user.

    Args:
        pending_trials: how many trials may wait for a worker. With a searcher that is not Tune's,
            Tune by itself lets one wait: trials would start one by one, and no cluster would grow.

    Raises:
        UserError: no cluster of the same versions answers at `address`, or none can be started
            here.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(pending_trials))
    path = os.pathsep.join(
        part for part in (str(ROOT), os.getcwd(), os.environ.get("PYTHONPATH")) if part
    )
    os.environ["PYTHONPATH"] = path
    shared: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "include_dashboard": False,
    }
    workers = {"env_vars": {"PYTHONPATH": path}}
    started_here = address == "local" or (address is None and not is_running())
    place = "" if started_here else address or os.environ.get("RAY_ADDRESS") or "auto"
    _check_answer(place)
    try:
        if started_here:
            _stay_on_this_machine()
            ray.init(address="local", **shared)
        else:
            del shared["include_dashboard"]
            ray.init(address=address or "auto", runtime_env=workers, **shared)
    except Exception as error:  # Ray raises the plain class, too
        raise UserError(_explain(error, place)) from None
    _silence_ray()
    try:
        yield started_here
    finally:
        ray.shutdown()


def _check_answer(place: str) -> None:
    """Pass if something answers at an address HOST:PORT, or ray://HOST:PORT; other ways of naming a
    cluster pass.

    Raises:
        UserError: nothing does.
    """
    if not (parts := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d{1,5})", place)):
        return
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:  # the second for a port above 65535
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"no Ray cluster answers at '{place}' ({reason}): check the address, start one there "
            "with ray start --head, or leave out --address to use this machine"
        ) from None


def _explain(error: Exception, place: str) -> str:
    """Why Ray cannot be used, and what to do; `place` is empty where it was to be started here."""
    reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
    if versions := re.search(
        r"Version mismatch.* Ray: (\S+) Python: (\S+) .* Ray: (\S+) Python: (\S+)", reason
    ):
        there, here = (f"Ray {versions[i]} and Python {versions[i + 1]}" for i in (1, 3))
        return (
            f"the Ray cluster at '{place}' has {there}, but this machine has {here}: "
            "install the same on both"
        )
    if place:
        return (
            f"cannot use the Ray cluster at '{place}': {reason[:300]}; "
            "an address is HOST:PORT, as ray start prints it"
        )
    if isinstance(error, OSError):
        advice = "set RAY_TMPDIR to a folder with room, open to you"
    else:
        advice = "name a running cluster by --address, or try again"
    return f"cannot start Ray on this machine: {reason[:300]}; {advice}"


def _stay_on_this_machine() -> None:
    """Have Ray's processes listen on the loopback interface alone; Ray names its switch for this
    after the systems on which it is set."""
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


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
    from ray._private.services import find_bootstrap_address, find_gcs_addresses

    return find_bootstrap_address(None) in find_gcs_addresses()


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
