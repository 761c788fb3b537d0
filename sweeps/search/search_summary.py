"""A search in words and as JSON: before it runs, when it is over, and its best candidates."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.search.candidate_records import Candidate
from sweeps.search.dimension import Dimension
from sweeps.search.search_space import count_grid_points, format_configuration
from sweeps.search.search_spec import SearchSpec
from sweeps.search.spending import Spending
from trainables.storage import layout
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.search.search_state import Search


def search_as_json(
    spec: SearchSpec, candidates: Sequence[Candidate], store: Store
) -> dict[str, Any]:
    """How the search stands, as plain values."""
    return {
        "search": spec.name,
        "directory": store.place(),
        "candidates": len(candidates),
        "outcomes": dict(Counter(candidate.outcome for candidate in candidates)),
    }


def describe_search(spec: SearchSpec, candidates: Sequence[Candidate], store: Store) -> str:
    """The search in words, before it runs."""
    strategy: str = spec.strategy.draw
    if spec.strategy.stop != "none":
        strategy += f", {spec.strategy.stop} stops early"
    if spec.strategy.draw == "grid":
        strategy += f"; {count_grid_points(spec.space)} points at each sparsity"
    space = [f"{name} {_describe_dimension(dimension)}" for name, dimension in spec.space.items()]
    budget = ", ".join(
        f"{value:g} {name}" for name, value in spec.budget if value is not None and name != "price"
    )
    sparsities = ", ".join(f"{sparsity:g}" for sparsity in spec.sparsities)
    spent = Spending(spec, store).describe(candidates)
    seeds = ", ".join(map(str, spec.confirm_seeds))
    lines = [
        f"search {spec.name}: {spec.method} for {spec.model} on {spec.dataset}; "
        f"directory {store.place()}",
        f"space: {', '.join(space)}",
        f"strategy: {strategy}",
        f"sparsities: {sparsities}; budget: {budget or 'the whole grid'}",
        f"epochs of the longest candidate: {spec.most_epochs}; {count_outcomes(candidates)}; "
        f"spent: {spent}",
        f"then the best of each sparsity with seeds {seeds}, on the test set",
    ]
    return "\n".join(lines)


def _describe_dimension(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return f"in {dimension.choices}"
    low, high = dimension.ends
    return f"{low:g} to {high:g}{' (log)' if dimension.log_range else ''}"


def count_outcomes(candidates: Sequence[Candidate]) -> str:
    """How many candidates there are, by what became of them."""
    counts = Counter(candidate.outcome for candidate in candidates)
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    return f"{len(candidates)} candidates ({outcomes})" if outcomes else "no candidates so far"


def describe_end(search: "Search") -> str:
    """Why the search is over, and what it would do next."""
    candidates = search.candidates
    over = f"search over: {search.spending.describe(candidates.all)}"
    more = "a larger budget goes on there"
    open_candidates = [candidate for candidate in candidates.all if candidate.open]
    if open_candidates and search.spending.is_over(candidates.all):
        first = open_candidates[0]
        where = f"{first.sparsity:g} #{first.number} ({first.description})"
        return f"{over}; next: go on with {where}; {more}"
    if search.spec.strategy.draw == "population":
        return f"{over}; a larger budget adds members"
    groups = candidates.by_sparsity
    sparsity = min(groups, key=lambda sparsity: len(groups[sparsity]))
    proposal = search.queue.peek(sparsity)
    if proposal is None:
        return f"{over}; every point of the space has been tried"
    return f"{over}; next: {sparsity:g} ({format_configuration(proposal.configuration)}); {more}"


def print_best(
    candidates: Sequence[Candidate], best: Mapping[float, Sequence[Candidate]], store: Store
) -> None:
    """Print the best candidates, those that failed, and where everything is."""
    for sparsity, chosen in best.items():
        for candidate in chosen:
            result = f"{candidate.val_top1:.2f} % of the validation set"
            if candidate.effective_macs is not None:
                result += f", {candidate.effective_macs:,.0f} effective MACs"
            print(f"best at {sparsity:g}: {candidate.description}: {result}")
    for candidate in candidates:
        if candidate.outcome == "failed":
            print(f"failed: {candidate.describe()}")
    print(
        f"candidates in {store.place(layout.CANDIDATES)}; "
        f"best configuration in {store.place(layout.BEST_FILE)}"
    )
    print(f"report: python -m analysis {store.uri}", flush=True)
