"""What the command line does, from the options to the exit code."""

import math
import shlex
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from pruning import registry
from sweeps import directory, lease, ledger, study
from sweeps.mistake import Mistake
from sweeps.networks import cost
from sweeps.plan import Plan, make_plan
from sweeps.request import find_store, read_study
from sweeps.stop import INTERRUPTED as BY_USER
from sweeps.stop import Stop
from sweeps.study import StudySpec
from trainables.environment import Environment
from trainables.store import Store

if TYPE_CHECKING:
    from sweeps.search.spec import SearchSpec

DONE, FAILED, STOPPED, INTERRUPTED = 0, 1, 3, 130


def run(options: Namespace, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        Mistake: something the user can put right.
    """
    if options.list_presets:
        return _list_presets()
    if options.list_methods:
        return _list_methods()
    if options.calibrate and not options.dry_run:
        raise Mistake("--calibrate times this machine for --dry-run: give both")
    spec = read_study(options, default_preset=default_preset)
    store = find_store(options, spec.name)
    anew = options.fresh and not options.dry_run
    if not anew:
        directory.check_same(spec, store)
    plan = make_plan(spec)
    if options.dry_run:
        return _describe(options, spec, plan, store)
    state = ledger.read(plan, store)
    if anew or state.missing:
        spec.check_data()  # before anything is written
    if not (anew or options.measure or state.missing or (options.retry_failed and state.failed)):
        directory.describe(spec, plan, store)
        return _conclude(plan, state, store)
    with lease.held(store, say=_say, lost=Stop.ask):
        if anew:  # now that nothing is wrong with the request: a mistake must not cost the old results
            ledger.erase(store)
        return _work(options, spec, plan, store)


def _describe(options: Namespace, spec: StudySpec, plan: Plan, store: Store) -> int:
    from sweeps.estimate import describe_plan

    state = ledger.read(plan, store, retry_failed=options.retry_failed)
    if state.missing:
        spec.check_data()
    print(describe_plan(spec, plan, state, store, calibrate=options.calibrate))
    return DONE


def _work(options: Namespace, spec: StudySpec, plan: Plan, store: Store) -> int:
    """Run what is missing, then measure if asked to."""
    state = ledger.read(plan, store)
    if options.retry_failed and state.failed:
        ledger.forget_failures(store, state.failed)
        state = ledger.read(plan, store)
    directory.describe(spec, plan, store)
    for key in state.damaged:
        _say(f"{store.place(f'rows/{key}.parquet')} is damaged: its trial runs again")
    if state.missing:
        spec.check_data()
        stopped = _launch(options, spec, plan, state, store)
        if stopped and stopped != BY_USER:
            print(f"error: {stopped}; continue with\n  {again()}", file=sys.stderr)
            return STOPPED
        state = ledger.read(plan, store)
        ledger.tidy(store, state.done)
        if stopped:
            print(f"interrupted: {len(state.done)} of {len(plan.trials)} trials done; continue with\n  {again()}")
            return INTERRUPTED
    measured = not options.measure or _measure(options, spec, plan, state, store)
    return _conclude(plan, state, store) or (DONE if measured else FAILED)


def make_environment(spec: "StudySpec | SearchSpec", store: Store) -> Environment:
    """How the trials of a study or a search are executed."""
    return Environment(
        store=store.uri,
        study=spec.name,
        data_dir=spec.data_dir,
        device="cuda" if spec.resources.gpus_per_trial else "cpu",
        threads=max(1, math.floor(spec.resources.cpus_per_trial)),
        checkpoint_seconds=spec.checkpoint_seconds,
    )


def _launch(options: Namespace, spec: StudySpec, plan: Plan, state: ledger.Ledger, store: Store) -> str:
    """Run the missing trials; returns why it stopped before the end, if it did."""
    from trainables.data import DataError, load, prepare

    resources, environment = spec.resources, make_environment(spec, store)
    if resources.gpus_per_trial and not options.address:
        _check_gpus(spec, plan, state)
    try:
        for setting in spec.settings:
            path = prepare(setting.dataset, data_dir=spec.data_dir)
            if ":" in setting.model:
                images = load(path)
                cost(setting.model, images.image, images.classes)
    except DataError as error:
        raise Mistake(str(error)) from None
    from sweeps.account import Account
    from sweeps.cluster import connected, lack
    from sweeps.pace import share
    from sweeps.progress import Progress
    from sweeps.run import run as run_plan

    titles = {key: trial.title for key, trial in plan.by_key.items()}
    account = Account(spec.prices, share(resources), state.spent)
    progress = Progress(titles, {key: plan.by_key[key].epochs for key in state.missing}, account=account)
    verb = "continuing" if len(state.missing) < len(titles) else "starting"
    counts = f"{len(state.done)} of {len(titles)} trials done, {len(state.missing)} to run"
    progress.say(f"{verb}: {counts}; study in {store.place()}")
    with connected(options.address) as own:
        if reason := lack(resources):
            if own:
                raise Mistake(reason)
            progress.say(f"waiting for the cluster to grow: {reason}")
        return run_plan(plan, environment, resources, progress)


def _measure(options: Namespace, spec: StudySpec, plan: Plan, state: ledger.Ledger, store: Store) -> bool:
    """Measure latency; returns whether all that is done is measured."""
    from sweeps.measure import measure_study

    return measure_study(spec, plan, state.done, store, address=options.address)


def _check_gpus(spec: StudySpec, plan: Plan, state: ledger.Ledger) -> None:
    """Say what a study that wants GPUs would cost on this machine's CPU, where there is no GPU.

    Raises:
        Mistake: there is none, and no running cluster that may have some.
    """
    import torch

    from sweeps.cluster import is_running

    if torch.cuda.is_available() or is_running():
        return
    from sweeps.estimate import cpu_seconds
    from sweeps.progress import duration

    raise Mistake(
        f"study '{spec.name}' wants GPUs and this machine has none; on its CPU it would take about "
        f"{duration(cpu_seconds(spec, plan, state))}: give --gpus-per-trial 0 to do so, --address for a cluster, "
        "or run --preset digits, which takes minutes here"
    )


def _conclude(plan: Plan, state: ledger.Ledger, store: Store) -> int:
    """Print how the study stands and return the exit code."""
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
    return " ".join(["python", shlex.quote(sys.argv[0]), *map(shlex.quote, words), *([extra] if extra else [])])


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
        print(f"{name:16} {card.kind:13} {card.summary}\n{'':30} {card.paper}; cost: {card.cost}; use it {card.when}")
    return DONE
