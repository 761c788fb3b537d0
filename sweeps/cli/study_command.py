"""What the command line does, from the options to the exit code."""

import math
import shlex
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from pruning import registry
from pruning.user_error import UserError
from sweeps.cli import json_output
from sweeps.cli.study_request import find_store, learn_methods, read_study
from sweeps.live_view.watch import view, write_report
from sweeps.loggers.selection import check_loggers, logging_to
from sweeps.planning import study_directory, trial_status
from sweeps.planning.model_check import cost
from sweeps.planning.plan import Plan, make_plan
from sweeps.running import lease
from sweeps.running.stop_request import INTERRUPTED as BY_USER
from sweeps.running.stop_request import Stop
from sweeps.study_file import study
from sweeps.study_file.study import StudySpec
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.user_method_files import find_changed

if TYPE_CHECKING:
    from sweeps.loggers.log_queue import Loggers
    from sweeps.search.search_spec import SearchSpec

DONE, FAILED, STOPPED, INTERRUPTED = 0, 1, 3, 130


def run(options: Namespace, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        UserError: something the user can put right.
    """
    if options.list_presets:
        options.facts |= json_output.tell_presets()
        return _list_presets()
    if options.list_methods:
        learn_methods(options)
        options.facts |= json_output.tell_methods()
        return _list_methods()
    logs = check_loggers(options.log)
    if options.calibrate and not options.dry_run:
        raise UserError("--calibrate times this machine for --dry-run: give both")
    spec = read_study(options, default_preset=default_preset)
    store = find_store(options, spec.name)
    if not options.fresh:
        study_directory.check_same(spec, store)
    plan = make_plan(spec)
    if options.tune_packing:
        spec = _tune(options, spec, plan)
    for name in [] if options.fresh else find_changed(plan.sources, store):
        _say(
            f"method '{name}' has changed since it ran here: its trials run anew; old rows stay, out of the report"
        )
    if options.dry_run:
        return _describe(options, spec, plan, store)
    state = trial_status.read(plan, store)
    if options.fresh or state.missing:
        spec.check_data()  # before anything is written
    wanted = (
        options.fresh
        or options.measure
        or state.missing
        or logs
        or (options.retry_failed and state.failed)
    )
    with lease.held(store, say=_say, lost=Stop.ask):
        if not wanted:
            study_directory.describe(spec, plan, store)
            return _conclude(options, spec, plan, state, store)
        if (
            options.fresh
        ):  # now that nothing is wrong with the request: a mistake must not cost the old results
            trial_status.erase(store)
        return _work(options, spec, plan, store)


def _tune(options: Namespace, spec: StudySpec, plan: Plan) -> StudySpec:
    """The study with the resources that serve this machine best.

    Raises:
        UserError: the command also says what a trial takes, or where it runs; or see
            `packing.tune`.
    """
    from sweeps.estimate.packing import tune

    if options.cpus_per_trial or options.gpus_per_trial or options.address:
        raise UserError(
            "--tune-packing finds out what a trial should take of this machine: leave out the other options"
        )
    spec.check_data()
    packing = tune(spec, plan, say=_say)
    # A study that continues must not choose anew: the number of threads can change a result in its
    # last bits.
    place = sys.argv.index("--tune-packing") if "--tune-packing" in sys.argv else len(sys.argv)
    sys.argv[place : place + 1] = packing.flags.split()
    return spec.model_copy(update={"resources": packing.resources})


def _describe(options: Namespace, spec: StudySpec, plan: Plan, store: Store) -> int:
    from sweeps.estimate.plan_cost import describe_plan

    state = (
        trial_status.begin(plan)
        if options.fresh
        else trial_status.read(plan, store, retry_failed=options.retry_failed)
    )
    if state.missing:
        spec.check_data()
    if options.json:
        told = json_output.tell_plan(spec, plan, state, calibrate=options.calibrate)
        options.facts.update(json_output.tell_state(spec, plan, state, store) | told)
    else:
        print(describe_plan(spec, plan, state, store, calibrate=options.calibrate))
    return DONE


def _work(options: Namespace, spec: StudySpec, plan: Plan, store: Store) -> int:
    """Run what is missing, then measure if asked to."""
    state = trial_status.read(plan, store)
    if options.retry_failed and state.failed:
        trial_status.forget_failures(store, state.failed)
        state = trial_status.read(plan, store)
    study_directory.describe(spec, plan, store)
    for key in state.damaged:
        _say(f"{store.place(f'rows/{key}.parquet')} is damaged: its trial runs again")
    stopped = ""
    with logging_to(options.log, spec.name, store, say=_say) as loggers:
        for one in loggers:
            one.fill({key: trial.spec for key, trial in plan.by_key.items()}, sorted(state.done))
        if state.missing:
            spec.check_data()
            stopped = _launch(options, spec, plan, state, store, loggers)
    if state.missing:
        options.facts.update(json_output.tell_state(spec, plan, state, store))
        if stopped and stopped != BY_USER:
            print(f"error: {stopped}; continue with: {again()}", file=sys.stderr)
            options.facts["error"] = stopped
            return STOPPED
        state = trial_status.read(plan, store)
        trial_status.tidy(store, state.done)
        options.facts.update(json_output.tell_state(spec, plan, state, store))
        if stopped:
            print(
                f"interrupted: {len(state.done)} of {len(plan.trials)} trials done; continue with: {again()}"
            )
            return INTERRUPTED
    measured = not options.measure or _measure(options, spec, plan, state, store)
    if options.watch:
        write_report(store)
    return _conclude(options, spec, plan, state, store) or (DONE if measured else FAILED)


def make_environment(spec: "StudySpec | SearchSpec", store: Store) -> Environment:
    """How the trials of a study or a search are executed."""
    return Environment(
        store=store.uri,
        study=spec.name,
        data_dir=spec.data_dir,
        device="cuda" if spec.resources.gpus_per_trial else "cpu",
        threads=max(1, math.floor(spec.resources.cpus_per_trial)),
        checkpoint_seconds=spec.checkpoint_seconds,
        keep_networks=spec.keep_networks if isinstance(spec, StudySpec) else "none",
    )


def _launch(
    options: Namespace,
    spec: StudySpec,
    plan: Plan,
    state: trial_status.Ledger,
    store: Store,
    loggers: "list[Loggers]",
) -> str:
    """Run the missing trials; returns why it stopped before the end, if it did."""
    from trainables.data.prepared import load, prepare

    resources, environment = spec.resources, make_environment(spec, store)
    if resources.gpus_per_trial and not options.address:
        _check_gpus(spec, plan, state)
    try:
        for setting in spec.settings:
            path = prepare(setting.dataset, data_dir=spec.data_dir)
            if ":" in setting.model:
                images = load(path)
                cost(setting.model, images.image, images.classes)
    except UserError as error:
        raise UserError(str(error)) from None
    from sweeps.estimate.spent import Account
    from sweeps.estimate.time_per_trial import share
    from sweeps.running.cluster import connected, find_dashboard, lack
    from sweeps.running.progress import Progress
    from sweeps.running.run import run as run_plan

    titles = {key: trial.title for key, trial in plan.by_key.items()}
    account = Account(spec.prices, share(resources), state.spent)
    progress = Progress(
        titles, {key: plan.by_key[key].epochs for key in state.missing}, account=account
    )
    verb = "continuing" if len(state.missing) < len(titles) else "starting"
    counts = f"{len(state.done)} of {len(titles)} trials done, {len(state.missing)} to run"
    progress.say(f"{verb}: {counts}; study in {store.place()}")
    with connected(options.address) as own:
        if reason := lack(resources):
            if own:
                raise UserError(reason)
            progress.say(f"waiting for the cluster to grow: {reason}")
        if dashboard := find_dashboard():
            progress.say(f"Ray's dashboard: {dashboard}")
        if not options.watch:
            return run_plan(plan, environment, resources, progress, watchers=loggers)
        epochs = {key: trial.epochs for key, trial in plan.by_key.items()}
        with view(
            f"study {spec.name}",
            store,
            resources,
            look=progress.look,
            name=_name,
            total=lambda key: epochs.get(key, 0),
        ) as live:
            if live:
                live.learn_rows(store, plan, state.done)
            return run_plan(
                plan,
                environment,
                resources,
                progress,
                watchers=[*loggers, *([live] if live else [])],
            )


def _name(key: str, spec: dict[str, Any]) -> str:
    """What a trial is called in the live view, whatever its sparsity and seed."""
    knobs = ", ".join(f"{name}={value}" for name, value in spec["knobs"].items())
    return f"{spec['method']} ({knobs})" if knobs else str(spec["method"])


def _measure(
    options: Namespace, spec: StudySpec, plan: Plan, state: trial_status.Ledger, store: Store
) -> bool:
    """Measure latency; returns whether all that is done is measured."""
    from sweeps.running.latency_pass import measure_study

    return measure_study(spec, plan, state.done, store, address=options.address)


def _check_gpus(spec: StudySpec, plan: Plan, state: trial_status.Ledger) -> None:
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
        f"{duration(cpu_seconds(spec, plan, state))}: give --gpus-per-trial 0 to do so, --address for a cluster, "
        "or run --preset digits, which takes minutes here"
    )


def _conclude(
    options: Namespace, spec: StudySpec, plan: Plan, state: trial_status.Ledger, store: Store
) -> int:
    """Print how the study stands and return the exit code."""
    options.facts.update(json_output.tell_state(spec, plan, state, store))
    total = len(plan.trials)
    print(f"{len(state.done)} of {total} trials done; rows in {store.place('rows')}")
    for failure in state.failed.values():
        print(f"failed: {failure.key}: {failure.error}  ({store.place(failure.path)})")
    for key, parent in state.blocked.items():
        print(f"not run: {key}, because {parent} failed")
    if state.failed or state.missing:
        print(f"run the failed trials again with\n  {again('--retry-failed')}")
        return FAILED
    print(f"tables and figures: python -m analysis {shlex.quote(store.uri)}")
    return DONE


def again(extra: str = "") -> str:
    """The command line that continues this study."""
    words = [word for word in sys.argv[1:] if word not in ("--fresh", "--retry-failed")]
    return " ".join(
        ["python", shlex.quote(sys.argv[0]), *map(shlex.quote, words), *([extra] if extra else [])]
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _list_presets() -> int:
    for name, path in study.presets().items():
        raw = study.read(path)
        print(f"{name:32} {raw.get('description', '')}")
    return DONE


def _list_methods() -> int:
    for name in registry.names():
        card = registry.find(name).card
        print(
            f"{name:16} {card.kind:13} {card.summary}\n{'':30} {card.paper}; cost: {card.cost}; use it {card.when}"
        )
    return DONE
