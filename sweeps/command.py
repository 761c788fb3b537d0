"""What the command line does, from the options to the exit code."""

import math
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml

from pruning import registry
from sweeps import ledger, study
from sweeps.mistake import Mistake
from sweeps.plan import Plan, make_plan
from sweeps.study import StudySpec
from trainables.environment import Environment
from trainables.store import Store, is_remote

DONE, FAILED, INTERRUPTED = 0, 1, 130


def run(options: Namespace, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        Mistake: something the user can put right.
    """
    if options.list_presets:
        return _list_presets()
    if options.list_methods:
        return _list_methods()
    spec = read_study(options, default_preset=default_preset)
    store = Store.at(options.out or Path("studies", spec.name))
    if options.fresh and not options.dry_run:
        spec.check_data()  # a mistake here must not cost the old results
        ledger.erase(store)
    _check_same_study(spec, store)
    plan = make_plan(spec)
    state = ledger.read(plan, store)
    if options.retry_failed and state.failed:
        if not options.dry_run:
            ledger.forget_failures(store, state.failed)
        state = ledger.read(plan, store, retry_failed=True)
    if options.dry_run:
        from sweeps.estimate import describe_plan

        print(describe_plan(spec, plan, state, store))
        return DONE
    _write_study(spec, plan, store)
    if state.missing:
        spec.check_data()
        interrupted = not _launch(options, spec, plan, state, store)
        state = ledger.read(plan, store)
        if interrupted:
            print(f"interrupted: {len(state.done)} of {len(plan.trials)} trials done; continue with\n  {_again()}")
            return INTERRUPTED
    return _conclude(plan, state, store)


def read_study(options: Namespace, *, default_preset: str) -> StudySpec:
    """The study that the options ask for: a preset or a file, with what the other options change.

    Raises:
        Mistake: anything in it is wrong.
    """
    preset = options.preset or (None if options.study else default_preset)
    raw = study.read_preset(preset) if preset else study.read(options.study)
    where = f"preset {preset}" if preset else Path(options.study).name
    for assignment in options.set:
        study.override(raw, assignment)
    if options.methods is not None:
        _choose_methods(raw, _split(options.methods))
    for name, number in (("sparsities", float), ("seeds", int)):
        if (text := getattr(options, name)) is not None:
            raw[name] = [_number(part, number, f"--{name}") for part in _split(text)]
    for name in ("cpus_per_trial", "gpus_per_trial"):
        if (value := getattr(options, name)) is not None:
            study.override(raw, f"resources.{name}={value}")
    if options.data_dir is not None:
        raw["data_dir"] = options.data_dir
    if isinstance(folder := raw.get("data_dir"), str) and not is_remote(folder):
        raw["data_dir"] = str(Path(folder).expanduser().resolve())
    return study.build(raw, where=where)


def _choose_methods(raw: dict[str, Any], chosen: list[str]) -> None:
    """Keep only the chosen methods, each with the knobs the study gives it."""
    given = raw.get("methods")
    listed = given if isinstance(given, list) else [given]
    knobs = {name: value for item in listed if isinstance(item, dict) for name, value in item.items()}
    raw["methods"] = [{name: knobs[name]} if knobs.get(name) else name for name in chosen]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(text: str, kind: type[float] | type[int], option: str) -> float | int:
    try:
        return kind(text)
    except ValueError:
        raise Mistake(f"{option} takes numbers separated by commas, but got '{text}'") from None


def _check_same_study(spec: StudySpec, store: Store) -> None:
    """Refuse to mix two studies in one directory: only methods, sparsities, seeds and resources may change.

    Raises:
        Mistake: data set, model or a recipe differ from what the directory holds.
    """
    try:
        before = yaml.safe_load(store.read("study.yaml"))
        if not isinstance(before, dict):
            raise ValueError("it is no mapping of keys to values")
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise Mistake(f"{store.uri} is a file; --out names a directory") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Mistake(f"{store.uri}/study.yaml cannot be read: {' '.join(str(error).split())[:150]}") from None
    now = spec.model_dump(mode="json")
    for field in ("dataset", "model", "recipe", "retrain"):
        old, new = before.get(field), now[field]
        if old != new:
            inner = field
            if isinstance(old, dict) and isinstance(new, dict):
                name = next(name for name in {**new, **old} if old.get(name) != new.get(name))
                inner, old, new = f"{field}.{name}", old.get(name), new.get(name)
            raise Mistake(
                f"{store.uri} holds a study with {inner} = {old}, but now it is {new}; "
                "choose another --out, or --fresh to delete what is there"
            )


def _write_study(spec: StudySpec, plan: Plan, store: Store) -> None:
    """Store what was asked for, for the reader and the analysis.

    Raises:
        Mistake: the study directory cannot be written.
    """
    try:
        store.write("study.yaml", yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode())
        store.write("plan.json", plan.to_json())
    except OSError as error:
        raise Mistake(f"cannot write the study directory {store.uri}: {error.strerror or error}") from None


def _launch(options: Namespace, spec: StudySpec, plan: Plan, state: ledger.Ledger, store: Store) -> bool:
    """Run the missing trials; returns whether they ran to the end."""
    from trainables.data import DataError, prepare

    resources = spec.resources
    environment = Environment(
        store=store.uri,
        study=spec.name,
        data_dir=spec.data_dir,
        device="cuda" if resources.gpus_per_trial else "cpu",
        threads=max(1, math.floor(resources.cpus_per_trial)),
        checkpoint_seconds=spec.checkpoint_seconds,
    )
    if resources.gpus_per_trial and not options.address:
        _check_gpus(spec, plan, state)
    try:
        for setting in spec.settings:
            prepare(setting.dataset, data_dir=spec.data_dir)
    except DataError as error:
        raise Mistake(str(error)) from None
    from sweeps.cluster import connected, lack
    from sweeps.progress import Progress
    from sweeps.run import run as run_plan

    total = len(plan.trials)
    ended = total - len(state.missing)
    verb = "continuing" if ended else "starting"
    to_run = {key: plan.by_key[key] for key in state.missing}
    epochs, titles = ({k: t.epochs for k, t in to_run.items()}, {k: t.title for k, t in to_run.items()})
    progress = Progress(total, ended, epochs, titles)
    progress.say(f"{verb}: {len(state.done)} of {total} trials done, {len(state.missing)} to run; study in {store.uri}")
    with connected(options.address) as own:
        if reason := lack(resources):
            if own:
                raise Mistake(reason)
            progress.say(f"waiting for the cluster to grow: {reason}")
        return run_plan(plan, state, environment, resources, progress)


def _check_gpus(spec: StudySpec, plan: Plan, state: ledger.Ledger) -> None:
    """Say what a study that wants GPUs would cost on this machine's CPU, where there is no GPU.

    Raises:
        Mistake: there is none, and no running cluster that may have some.
    """
    import torch

    from sweeps.cluster import is_running

    if torch.cuda.is_available() or is_running():
        return
    from sweeps.estimate import device_hours
    from sweeps.progress import duration

    hours = device_hours(spec, plan, state.missing, gpu=False)
    raise Mistake(
        f"study '{spec.name}' wants GPUs and this machine has none; on its CPU it would take about "
        f"{duration(3600 * hours)}: give --gpus-per-trial 0 to do so, --address for a cluster, "
        "or run --preset digits, which takes minutes here"
    )


def _conclude(plan: Plan, state: ledger.Ledger, store: Store) -> int:
    """Print how the study stands and return the exit code."""
    total = len(plan.trials)
    print(f"{len(state.done)} of {total} trials done; rows in {store.uri}/rows")
    for failure in state.failed.values():
        print(f"failed: {failure.key}: {failure.error}  ({store.uri}/{failure.path})")
    for key, parent in state.blocked.items():
        print(f"not run: {key}, because {parent} failed")
    if state.failed or state.missing:
        print(f"run the failed trials again with\n  {_again('--retry-failed')}")
        return FAILED
    print(f"tables and figures: python -m analysis {shlex.quote(store.uri)}")
    return DONE


def _again(extra: str = "") -> str:
    """The command line that continues this study."""
    words = [word for word in sys.argv[1:] if word not in ("--fresh", "--retry-failed")]
    return " ".join(["python", shlex.quote(sys.argv[0]), *map(shlex.quote, words), *([extra] if extra else [])])


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
