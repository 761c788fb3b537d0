"""What the search command does, from the options to the exit code."""

import json
import os
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pruning.user_error import UserError
from sweeps.cli import study_command
from sweeps.cli.study_command import DONE, FAILED, INTERRUPTED, STOPPED
from sweeps.cli.study_request import find_store
from sweeps.live_view.watch import view, write_report
from sweeps.loggers.selection import check_loggers, logging_to
from sweeps.planning.plan import make_plan
from sweeps.running import lease
from sweeps.running.snapshot import Look
from sweeps.running.stop_request import INTERRUPTED as BY_USER
from sweeps.running.stop_request import Stop
from sweeps.search import best_candidates, candidate_records, search_directory, search_space
from sweeps.search import search_spec as search_spec
from sweeps.search.budget import Spending
from sweeps.search.candidate_records import Candidate
from sweeps.search.proposals import Proposals
from sweeps.search.search_directory import BEST, BEST_FOLDER
from sweeps.search.search_request import read_search
from sweeps.search.search_spec import SearchSpec
from sweeps.study_file import study
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.loggers.log_queue import Loggers
    from sweeps.search.search_state import Search


def run(options: Namespace, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        UserError: something the user can put right.
    """
    if options.list_presets:
        for name, path in search_spec.presets().items():
            print(f"{name:32} {study.read(path).get('description', '')}")
            options.facts.setdefault("presets", []).append({"name": name, "path": str(path)})
        return DONE
    check_loggers(options.log)
    spec = read_search(options, default_preset=default_preset)
    store = find_store(options, spec.name)
    check(spec)
    if not options.fresh:
        search_directory.check_same(spec, store)
    if options.dry_run:
        found = [] if options.fresh else candidate_records.read(store)
        options.facts.update(tell(spec, found, store))
        print(describe(spec, found, store))
        return DONE
    spec.study(spec.sparsities[0], {}, seeds=[spec.seed]).check_data()
    with lease.held(store, say=_say, lost=Stop.ask):
        if options.fresh:
            search_directory.erase(store)
        return _work(options, spec, store)


def check(spec: SearchSpec) -> None:
    """See that candidates make one trial at each sparsity, and can be scored and improved as asked.

    Raises:
        UserError: they cannot.
    """
    from pruning.phases import Prune, Train

    for configuration in spec.corners:
        trial = Proposals(spec, spec.sparsities[0]).resolve(configuration).trial.spec
        if not trial.sparsities and len(spec.sparsities) > 1:
            raise UserError(
                f"method '{spec.method}' decides by itself how much to prune: give one sparsity, as its name"
            )
        phases = trial.phases()
        order = spec.strategy.order
        if order in ("flow", "snip") and not isinstance(phases[0], Prune):
            raise UserError(
                f"order: {order} scores the pruned network, but '{spec.method}' trains first; use tenth"
            )
        trainings = [phase for phase in phases if isinstance(phase, Train)]
        if spec.strategy.draw == "population" and [one.recipe for one in trainings] != [
            _TRAINED[spec.changing]
        ]:
            raise UserError(
                f"a population changes {spec.changing} within one training, but '{spec.method}' has "
                f"{', '.join(f'one by {one.recipe}' for one in trainings) or 'none'}"
            )
        if spec.strategy.stop != "none" and not any(isinstance(phase, Train) for phase in phases):
            raise UserError(
                f"stop: {spec.strategy.stop} needs epochs to stop after, but {spec.method} trains none"
            )


_TRAINED = {"recipe": "train", "retrain": "retrain"}


def _work(options: Namespace, spec: SearchSpec, store: Store) -> int:
    """Search on, choose, and run what is best again with other seeds."""
    stopped, found = _search(options, spec, store)
    options.facts.update(tell(spec, found, store))
    if stopped == BY_USER:
        print(f"interrupted: {_count(found)}; continue with: {study_command.again()}")
        return INTERRUPTED
    if stopped:
        print(f"error: {stopped}; continue with: {study_command.again()}", file=sys.stderr)
        options.facts["error"] = stopped
        return STOPPED
    at = {
        sparsity: [one for one in found if one.sparsity == sparsity] for sparsity in spec.sparsities
    }
    chosen = best_candidates.choose(spec, at)
    options.facts["best"] = [asdict(one) for best in chosen.values() for one in best]
    if options.watch:
        write_report(store)
    _conclude(spec, found, chosen, store)
    if not chosen:
        print("nothing was trained to its end, so there is no best configuration")
        return FAILED
    text = yaml.safe_dump(best_candidates.write_study(spec, chosen), sort_keys=False).encode()
    store.write(BEST, text)
    return DONE if options.no_confirm else confirm(options, text, store)


def _search(options: Namespace, spec: SearchSpec, store: Store) -> tuple[str, list[Candidate]]:
    """Run the search as far as it goes; why it had to stop before its end, if it had to, and all
    candidates."""
    from sweeps.search.search_state import OVER, Search

    environment = study_command.make_environment(spec, store)
    search = Search(spec, environment, say=_say)
    search_directory.describe(spec, search, store)
    stopped = ""
    if search.wants_more:
        with logging_to(options.log, spec.name, store, say=_say) as loggers:
            stopped = _launch(options, search, loggers)
        search_directory.describe(spec, search, store)
    if stopped in ("", OVER):
        _say(_tell_end(search))
        stopped = ""
    return stopped, search.all


def _launch(options: Namespace, search: "Search", loggers: "list[Loggers]") -> str:
    from sweeps.running.cluster import connected, find_dashboard, lack
    from sweeps.search.search_run import run as run_search
    from trainables.data.prepared import prepare

    try:
        prepare(search.spec.dataset, data_dir=search.spec.data_dir)
    except UserError as error:
        raise UserError(str(error)) from None
    _say(
        f"{'continuing' if search.all else 'starting'}: {_count(search.all)}; search in {search.store.place()}"
    )
    if (
        search.spec.strategy.draw == "population"
    ):  # its members wait for each other: none may be held back
        os.environ.setdefault(
            "TUNE_MAX_PENDING_TRIALS_PG", str(max(16, search.spec.budget.trials or 0))
        )
    with connected(options.address) as own:
        if reason := lack(search.spec.resources):
            if own:
                raise UserError(reason)
            _say(f"waiting for the cluster to grow: {reason}")
        if dashboard := find_dashboard():
            _say(f"Ray's dashboard: {dashboard}")
        if not options.watch:
            return run_search(search, watchers=loggers)

        def name(key: str, spec: dict[str, Any]) -> str:
            one = search.find(key)
            return str(spec["method"]) if one is None else f"#{one.number} {one.told}"

        def look() -> Look:
            failed = sum(one.outcome == "failed" for one in search.all)
            ended = sum(one.ended is not None for one in search.all)
            total = search.spec.budget.trials
            return Look(ended, total, failed, spent=search.spending.describe(search.all))

        with view(
            f"search {search.spec.name}", search.store, search.spec.resources, look=look, name=name
        ) as live:
            return run_search(search, watchers=[*loggers, *([live] if live else [])])


def _tell_end(search: "Search") -> str:
    """Why the search is over, and what it would do next."""
    told = f"search over: {search.spending.describe(search.all)}"
    begun = [one for one in search.all if one.outcome in ("running", "scored")]
    if begun and search.spending.is_over(search.all):
        one = begun[0]
        return f"{told}; next: go on with {one.sparsity:g} #{one.number} ({one.told}){_MORE}"
    if search.spec.strategy.draw == "population":
        return f"{told}; a larger budget adds members"
    sparsity = min(search.at, key=lambda value: len(search.at[value]))
    if (proposal := search.peek(sparsity)) is None:
        return f"{told}; every point of the space has been tried"
    return f"{told}; next: {sparsity:g} ({search_space.tell(proposal.configuration)}){_MORE}"


_MORE = "; a larger budget goes on there"


def confirm(options: Namespace, text: bytes, store: Store) -> int:
    """Run the study of the best in the directory `best/` of the search: only there the test set is
    read."""
    from sweeps.full_study import parser
    from sweeps.planning import trial_status

    below = store.below(BEST_FOLDER)
    made = study.build(yaml.safe_load(text), where=BEST)
    if _read_keys(below) <= set(make_plan(made).by_key):
        below.delete(
            "study.yaml"
        )  # it may lie there with fewer sparsities, or of an earlier version of the project
    else:
        _say(
            f"the best has changed since it was confirmed, with the test set: {below.place()} is made anew"
        )
        trial_status.erase(below)
    _say(f"confirming the best with seeds {', '.join(map(str, made.seeds))} in {below.place()}")
    with tempfile.TemporaryDirectory(prefix="best-") as scratch:
        path = Path(scratch, BEST)
        path.write_bytes(text)
        words = ["--study", str(path), "--out", below.uri]
        words += ["--address", options.address] if options.address else []
        words += ["--retry-failed"] if options.retry_failed else []
        words += ["--watch"] if options.watch else []
        words += ["--log", options.log] if options.log else []
        inner = parser().parse_args(words)
        inner.facts = options.facts.setdefault("confirmed", {})
        return study_command.run(inner, default_preset="")


def _read_keys(below: Store) -> set[str]:
    """The keys of what was confirmed before."""
    try:
        return {str(trial["key"]) for trial in json.loads(below.read("plan.json"))["trials"]}
    except FileNotFoundError:
        return set()
    except (ValueError, TypeError, LookupError):
        raise UserError(
            f"{below.place('plan.json')} cannot be read; delete it if what lies beside it is of this search"
        ) from None


def _conclude(
    spec: SearchSpec, found: list[Candidate], chosen: dict[float, list[Candidate]], store: Store
) -> None:
    for sparsity, best in chosen.items():
        for one in best:
            macs = (
                f", {one.effective_macs:,.0f} effective MACs"
                if one.effective_macs is not None
                else ""
            )
            told = f"{one.val_top1:.2f} % of the validation set{macs}"
            print(f"best at {sparsity:g}: {one.told}: {told}")
    for one in found:
        if one.outcome == "failed":
            print(f"failed: {one.describe()}")
    print(
        f"candidates in {store.place(candidate_records.FOLDER)}; best configuration in {store.place(BEST)}"
    )
    print(f"report: python -m analysis {store.uri}", flush=True)


def tell(spec: SearchSpec, found: list[Candidate], store: Store) -> dict[str, Any]:
    """How the search stands, as plain values."""
    outcomes = Counter(one.outcome for one in found)
    return {
        "search": spec.name,
        "directory": store.place(),
        "candidates": len(found),
        "outcomes": dict(outcomes),
    }


def describe(spec: SearchSpec, found: list[Candidate], store: Store) -> str:
    """The search in words, before it runs."""
    spending = Spending(spec, store)
    points = search_space.count(spec.space) if spec.strategy.draw == "grid" else None
    budget = ", ".join(
        f"{value:g} {name}" for name, value in spec.budget if value is not None and name != "price"
    )
    rule = "" if spec.strategy.stop == "none" else f", {spec.strategy.stop} stops early"
    lines = [
        f"search {spec.name}: {spec.method} for {spec.model} on {spec.dataset}; directory {store.place()}",
        f"space: {', '.join(f'{name} {_tell(one)}' for name, one in spec.space.items())}",
        f"strategy: {spec.strategy.draw}{rule}{f'; {points} points at each sparsity' if points else ''}",
        f"sparsities: {', '.join(f'{value:g}' for value in spec.sparsities)}; budget: {budget or 'the whole grid'}",
        f"epochs of the longest candidate: {spec.longest}; {_count(found)}; spent: {spending.describe(found)}",
        f"then the best of each sparsity with seeds {', '.join(map(str, spec.confirm_seeds))}, on the test set",
    ]
    return "\n".join(lines)


def _tell(one: search_space.Dimension) -> str:
    if one.choices is not None:
        return f"in {one.choices}"
    return f"{one.ends[0]:g} to {one.ends[1]:g}{' (log)' if one.log_range else ''}"


def _count(found: list[Candidate]) -> str:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    return f"{len(found)} candidates ({told})" if told else "no candidates so far"


def _say(line: str) -> None:
    print(line, flush=True)
