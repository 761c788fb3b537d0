"""What the directory of a search says of itself: `search.yaml`, as asked for, and what the analysis
reads."""

from typing import TYPE_CHECKING, Any

import yaml

from pruning import registry
from pruning.user_error import UserError, short
from sweeps.planning import trial_status
from sweeps.planning.plan import Plan
from sweeps.search import candidate_records
from sweeps.search.proposals import Proposals
from sweeps.search.search_spec import SearchSpec
from sweeps.study_file import yaml_reader
from trainables.storage.store import Store, StoreLost
from trainables.user_method_files import find_changed, publish

if TYPE_CHECKING:
    from sweeps.search.search_state import Search

FILE, BEST, BEST_FOLDER = "search.yaml", "best.yaml", "best"
MAY_CHANGE = {
    "name",
    "description",
    "data_dir",
    "sparsities",
    "budget",
    "confirm_seeds",
    "resources",
} | {
    "checkpoint_seconds",
    "method_path",
}


def check_same(spec: SearchSpec, store: Store) -> None:
    """Refuse to mix two searches, or a search and a study: only budget, seeds to confirm with,
    resources and further sparsities may change.

    Raises:
        UserError: something else differs from what the directory holds.
    """
    before = _read(store)
    if before is None:
        if store.exists("plan.json"):
            raise UserError(f"{store.place()} holds a study, not a search; choose another --out")
        return
    now = spec.model_dump(mode="json")
    for field in now:
        if field not in MAY_CHANGE and before.get(field) != now[field]:
            raise UserError(
                f"{store.place()} holds a search with {field} = {short(before.get(field))}, but now it is "
                f"{short(now[field])}; choose another --out, or --fresh to delete what is there"
            )
    for name in find_changed(_sources(spec), store):
        raise UserError(
            f"{store.place()} holds a search with another content of method '{name}'; choose another --out, or "
            "--fresh to delete what is there"
        )


def _sources(spec: SearchSpec) -> dict[str, str]:
    """Of the user's own methods that any candidate can run."""
    points = [
        {name: value for name, value in one.items() if "." not in name} for one in spec.corners
    ]
    found = [registry.sources(spec.method, {**spec.knobs, **point}) for point in points]
    return {name: digest for one in found for name, digest in one.items()}


def _read(store: Store) -> dict[str, Any] | None:
    try:
        before = yaml_reader.parse(store.read(FILE), large=True)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{store.place()} is a file; --out names a directory") from None
    except StoreLost:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{store.place(FILE)} cannot be read: {error}; delete it if all is of this search"
        ) from None
    if not isinstance(before, dict):
        raise UserError(
            f"{store.place(FILE)} is no mapping of keys to values; delete it if all is of this search"
        )
    return before


def describe(spec: SearchSpec, search: "Search | None", store: Store) -> None:
    """Write what was asked for, and as a study what is expected: candidates with rows, and those
    under way."""
    publish(_sources(spec), store)
    store.write(FILE, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode())
    as_study = spec.study(spec.sparsities[0], {}, seeds=[spec.seed]).model_dump(mode="json")
    as_study |= {"description": spec.description, "sparsities": list(spec.sparsities)}
    store.write("study.yaml", yaml.safe_dump(as_study, sort_keys=False).encode())
    planned = {}
    for one in search.all if search else []:
        if one.outcome in ("done", "running", "failed"):
            found = Proposals(spec, one.sparsity).resolve(one.configuration, one.changes)
            planned[found.trial.key] = found.trial
            if found.dense:
                planned[found.dense.key] = found.dense
    store.write("plan.json", Plan(tuple(planned.values())).to_json())


def erase(store: Store) -> None:
    """Delete a search with all that belongs to it; nothing else that lies in the directory."""
    trial_status.erase(store)
    for name in (FILE, BEST, BEST_FOLDER, candidate_records.FOLDER):
        store.delete(name)
