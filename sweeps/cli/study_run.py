"""One run of a study: the missing trials, the latency pass if it is asked for, and the words at the
end."""

import shlex
import sys
from dataclasses import replace

from sweeps.cli.exit_codes import DONE, FAILED, INTERRUPTED, STOPPED
from sweeps.cli.invocation import Invocation
from sweeps.cli.json_output import status_as_json
from sweeps.cli.study_launch import (
    LaunchEnd,
    RunOptions,
    check_machine,
    launch_missing_trials,
)
from sweeps.live_view.watch import write_report
from sweeps.loggers.selection import logging_to
from sweeps.planning.network_probe import check_trials
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.study_directory import (
    check_same_study,
    find_changed_augmentations,
    write_study_description,
)
from sweeps.planning.trial_status import (
    TrialStatus,
    await_trial_status,
    check_erasable,
    delete_leftovers,
    erase_study,
    forget_failures,
    read_trial_status,
)
from sweeps.running.lease import hold_lease
from sweeps.running.stop_request import INTERRUPTED as BY_USER
from sweeps.running.stop_request import StopRequest
from sweeps.study_file.study import StudySpec
from sweeps.study_file.unreached_epochs import list_unreached_epochs
from trainables.storage.layout import ROWS, table_file
from trainables.storage.store import Store
from trainables.user_method_files import find_changed_methods


def plan_study(spec: StudySpec, store: Store, *, fresh: bool = False) -> Plan:
    """The trials of a study for a directory.

    Raises:
        UserError: the directory holds another study, and `fresh` is not asked for; or see
            `make_plan`.
    """
    if not fresh:
        check_same_study(spec, store)
    return make_plan(spec)


def announce_changed_files(plan: Plan, store: Store) -> None:
    """Say which of the user's methods have another content than when they ran here, and which of
    the user's augmentations than at the last launch."""
    for name in find_changed_methods(plan.sources, store):
        say(
            f"method '{name}' has changed since it ran here: its trials run anew; old rows stay, "
            "out of the report"
        )
    for name in find_changed_augmentations(plan, store):
        say(
            f"augmentation '{name}' is not as it was at the last launch: trials run with it as it "
            "is now; other rows stay, out of the report"
        )


def run_study(
    spec: StudySpec, plan: Plan, store: Store, how: RunOptions, invocation: Invocation
) -> int:
    """Run what is missing of a study; returns the exit code.

    Raises:
        UserError: something the user can put right.
    """
    if how.fresh:
        check_erasable(store)
    status = read_trial_status(plan, store)
    again = tuple(status.failed) if how.retry_failed else ()
    needed = tuple(plan.by_key) if how.fresh else (*status.missing, *again)
    for line in list_unreached_epochs(spec) if needed else ():
        say(f"note: {line}")
    if needed:  # before anything is written
        spec.check_data()
        check_trials(spec, (plan.by_key[key].spec for key in needed))
        check_machine(spec, plan, replace(status, missing=needed), how)
    retry = how.retry_failed and status.failed
    with hold_lease(store, say=say, lost=StopRequest.make):
        if not (how.fresh or how.measure_latency or status.missing or how.log or retry):
            write_study_description(spec, plan, store)
            return _conclude(spec, plan, status, store, invocation)
        if how.fresh:
            # Only now that nothing is wrong with the request: an error must not cost old results.
            erase_study(store)
        return _run_missing(spec, plan, store, how, invocation)


def _run_missing(
    spec: StudySpec, plan: Plan, store: Store, how: RunOptions, invocation: Invocation
) -> int:
    """Run what is missing, then measure latency if asked to."""
    status = read_trial_status(plan, store)
    if how.retry_failed and status.failed:
        forget_failures(store, status.failed)
        status = read_trial_status(plan, store)
    write_study_description(spec, plan, store)
    for key in status.damaged:
        say(f"{store.place(table_file(ROWS, key))} is damaged: its trial runs again")
    stopped, reported = _launch(spec, plan, status, store, how)
    if stopped and stopped != BY_USER:
        return _stop(stopped, status_as_json(spec, plan, status, store), invocation)
    if status.missing:
        status = await_trial_status(plan, store, reported)
        delete_leftovers(store, status.done)
        invocation.output.update(status_as_json(spec, plan, status, store))
    if stopped:
        done = f"{len(status.done)} of {len(plan.trials)} trials done"
        print(f"interrupted: {done}; continue with: {invocation.command_to_continue()}")
        return INTERRUPTED
    all_timed = not how.measure_latency or _time_networks(spec, plan, status, store, how)
    if how.watch:
        write_report(store)
    code = _conclude(spec, plan, status, store, invocation)
    return code or (DONE if all_timed else FAILED)


def _launch(
    spec: StudySpec, plan: Plan, status: TrialStatus, store: Store, how: RunOptions
) -> LaunchEnd:
    """Run the missing trials and log them."""
    with logging_to(how.log, spec.name, store, say=say) as loggers:
        specs = {key: trial.spec for key, trial in plan.by_key.items()}
        for logger in loggers:
            logger.log_finished_trials(specs, sorted(status.done))
        if not status.missing:
            return LaunchEnd("")
        spec.check_data()
        return launch_missing_trials(spec, plan, status, store, how, loggers)


def _stop(reason: str, output: dict[str, object], invocation: Invocation) -> int:
    """Say why the study had to stop, with the status that it was started from."""
    invocation.output.update({**output, "error": reason})
    again = invocation.command_to_continue()
    print(f"error: {reason}; continue with: {again}", file=sys.stderr)
    return STOPPED


def _time_networks(
    spec: StudySpec, plan: Plan, status: TrialStatus, store: Store, how: RunOptions
) -> bool:
    """Run the latency pass; returns whether all networks of the trials that are done are timed."""
    from sweeps.running.latency_pass import run_latency_pass

    return run_latency_pass(spec, plan, status.done, store, address=how.address)


def _conclude(
    spec: StudySpec, plan: Plan, status: TrialStatus, store: Store, invocation: Invocation
) -> int:
    """Print how the study stands and return the exit code."""
    invocation.output.update(status_as_json(spec, plan, status, store))
    print(f"{len(status.done)} of {len(plan.trials)} trials done; rows in {store.place(ROWS)}")
    for failure in status.failed.values():
        print(f"failed: {failure.key}: {failure.error}  ({store.place(failure.path)})")
    for key, parent in status.blocked.items():
        print(f"not run: {key}, because {parent} failed")
    if status.failed:
        again = invocation.command_to_continue("--retry-failed")
        print(f"run the failed trials again with\n  {again}")
    elif status.missing:
        count = len(status.missing)
        rows = "1 trial that ended has" if count == 1 else f"{count} trials that ended have"
        again = invocation.command_to_continue()
        print(
            f"{rows} no rows that can be read; to run what is missing, the same command:\n  {again}"
        )
    if status.failed or status.missing:
        return FAILED
    print(f"tables and figures: python -m analysis {shlex.quote(store.uri)}")
    return DONE


def say(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)
