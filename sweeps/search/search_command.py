"""What the search command does, from the options to the exit code."""

import sys
from argparse import Namespace
from dataclasses import asdict

import yaml

from sweeps.cli.exit_codes import DONE, FAILED, INTERRUPTED, STOPPED
from sweeps.cli.invocation import Invocation
from sweeps.cli.listings import list_presets
from sweeps.cli.study_launch import RunOptions
from sweeps.cli.study_request import find_store
from sweeps.cli.study_run import say
from sweeps.live_view.watch import write_report
from sweeps.loggers.selection import check_loggers
from sweeps.planning.trial_status import check_erasable
from sweeps.running.lease import hold_lease
from sweeps.running.stop_request import INTERRUPTED as BY_USER
from sweeps.running.stop_request import StopRequest
from sweeps.search.best_candidates import choose_best, study_of_the_best
from sweeps.search.candidate_records import Candidate, read_candidates
from sweeps.search.confirmation import confirm_best
from sweeps.search.search_check import check_network, check_search
from sweeps.search.search_directory import check_same_search, erase_search
from sweeps.search.search_launch import continue_search
from sweeps.search.search_presets import find_search_presets
from sweeps.search.search_request import read_search
from sweeps.search.search_spec import SearchSpec
from sweeps.search.search_summary import (
    count_outcomes,
    describe_search,
    print_best,
    search_as_json,
)
from sweeps.search.search_weights import resolve_search_weights
from trainables.storage import layout
from trainables.storage.store import Store


def run_search_command(options: Namespace, invocation: Invocation, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        UserError: something the user can put right.
    """
    if options.list_presets:
        invocation.output.update(list_presets(find_search_presets()))
        return DONE
    check_loggers(options.log)
    spec = read_search(options, default_preset=default_preset)
    store = find_store(options, spec.name)
    spec = resolve_search_weights(spec, store)
    check_search(spec)
    if options.fresh:
        check_erasable(store)
    else:
        check_same_search(spec, store)
    check_network(spec)
    if options.dry_run:
        candidates = [] if options.fresh else read_candidates(store)
        invocation.output.update(search_as_json(spec, candidates, store))
        print(describe_search(spec, candidates, store))
        return DONE
    with hold_lease(store, say=say, lost=StopRequest.make):
        if options.fresh:
            erase_search(store)
        return _run(options, invocation, spec, store)


def _run(options: Namespace, invocation: Invocation, spec: SearchSpec, store: Store) -> int:
    """Search on, choose what is best, and run it again with other seeds."""
    stopped, candidates = continue_search(
        spec, store, address=options.address, log=options.log, watch=options.watch
    )
    invocation.output.update(search_as_json(spec, candidates, store))
    if stopped:
        return _stop(stopped, candidates, invocation)
    by_sparsity = {
        sparsity: [candidate for candidate in candidates if candidate.sparsity == sparsity]
        for sparsity in spec.sparsities
    }
    best = choose_best(spec, by_sparsity)
    invocation.output["best"] = [
        asdict(candidate) for chosen in best.values() for candidate in chosen
    ]
    if options.watch:
        write_report(store)
    print_best(candidates, best, store)
    if not best:
        print("nothing was trained to its end, so there is no best configuration")
        return FAILED
    raw = study_of_the_best(spec, best)
    store.write(layout.BEST_FILE, yaml.safe_dump(raw, sort_keys=False).encode())
    if options.no_confirm:
        return DONE
    how = RunOptions(
        address=options.address,
        log=options.log,
        watch=options.watch,
        retry_failed=options.retry_failed,
    )
    return confirm_best(raw, store, how, invocation)


def _stop(reason: str, candidates: list[Candidate], invocation: Invocation) -> int:
    """Say why the search stopped before its end; returns the exit code."""
    again = invocation.command_to_continue()
    if reason == BY_USER:
        print(f"interrupted: {count_outcomes(candidates)}; continue with: {again}")
        return INTERRUPTED
    print(f"error: {reason}; continue with: {again}", file=sys.stderr)
    invocation.output["error"] = reason
    return STOPPED
