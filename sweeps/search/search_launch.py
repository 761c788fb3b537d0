"""The launch of a search on a Ray cluster, from the checks before it to the reason why it ended."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sweeps.cli.study_launch import make_environment
from sweeps.cli.study_run import say
from sweeps.live_view.watch import watch_run
from sweeps.loggers.selection import logging_to
from sweeps.running.snapshot import Snapshot
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_directory import write_search_description
from sweeps.search.search_spec import SearchSpec
from sweeps.search.search_summary import count_outcomes, describe_end
from trainables.storage.launch_token import launch_token
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.loggers.log_queue import LogQueue
    from sweeps.search.search_state import Search


def continue_search(
    spec: SearchSpec, store: Store, *, address: str | None, log: str | None, watch: bool
) -> tuple[str, list[Candidate]]:
    """Run the search as far as it goes.

    Returns: why it had to stop before its end, "" where it did not; and all candidates.

    Raises:
        UserError: data or a cluster that cannot be had.
    """
    with launch_token(store) as launch:
        return _continue(spec, store, launch, address=address, log=log, watch=watch)


def _continue(
    spec: SearchSpec,
    store: Store,
    launch: str,
    *,
    address: str | None,
    log: str | None,
    watch: bool,
) -> tuple[str, list[Candidate]]:
    """The search of the launch with that token."""
    from sweeps.search.search_state import OVER, Search

    search = Search(spec, make_environment(spec, store, launch=launch), say=say)
    write_search_description(spec, search.candidates.all, store)
    stopped = ""
    if search.queue.wants_more:
        with logging_to(log, spec.name, store, say=say) as loggers:
            stopped = _launch(search, loggers, address=address, watch=watch)
        write_search_description(spec, search.candidates.all, store)
    if stopped in ("", OVER):
        say(describe_end(search))
        stopped = ""
    return stopped, search.candidates.all


def _launch(
    search: "Search", loggers: "Sequence[LogQueue]", *, address: str | None, watch: bool
) -> str:
    from sweeps.running.cluster import PENDING_TRIALS, check_cluster, connected
    from sweeps.search.search_run import run_search
    from trainables.data.prepared import prepare

    spec, candidates = search.spec, search.candidates.all
    prepare(spec.dataset, data_dir=spec.data_dir)
    verb = "continuing" if candidates else "starting"
    say(f"{verb}: {count_outcomes(candidates)}; search in {search.store.place()}")
    # Members of a population wait for each other: none may be held back.
    members = spec.budget.trials or 0 if spec.strategy.draw == "population" else 0
    pending = max(PENDING_TRIALS, members)
    with connected(address, pending_trials=pending) as started_here:
        check_cluster(spec.resources, say=say, started_here=started_here)
        with _watch(search) if watch else nullcontext() as view:
            return run_search(search, observers=[*loggers, *([view] if view else [])])


def _watch(search: "Search") -> Any:
    """The live view of a search, and its report kept current."""

    def name_trial(key: str, spec: dict[str, Any]) -> str:
        candidate = search.candidates.find(key)
        if candidate is None:
            return str(spec["method"])
        return f"#{candidate.number} {candidate.description}"

    def take_snapshot() -> Snapshot:
        candidates = search.candidates.all
        return Snapshot(
            ended=sum(candidate.ended is not None for candidate in candidates),
            total=search.spec.budget.trials,
            failed=sum(candidate.outcome == "failed" for candidate in candidates),
            spent=search.spending.describe(candidates),
        )

    return watch_run(
        f"search {search.spec.name}",
        search.store,
        search.spec.resources,
        snapshot=take_snapshot,
        name=name_trial,
    )
