"""What the directory of a search says of itself: `search.yaml`, as asked for, and what the analysis
reads."""

from collections.abc import Sequence
from typing import Any

import yaml

from pruning import registry
from pruning.user_error import UserError, short
from sweeps.planning.model_sources import check_model_sources, record_model_sources
from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import erase_study
from sweeps.search.candidate_records import Candidate
from sweeps.search.proposals import Proposals
from sweeps.search.search_spec import SearchSpec
from sweeps.search.search_weights import put_search_weights
from sweeps.study_file.yaml_reader import parse_yaml
from trainables.storage import layout
from trainables.storage.store import Store, StoreLost
from trainables.user_method_files import find_changed_methods, store_method_files

MAY_CHANGE = (
    "name",
    "description",
    "data_dir",
    "sparsities",
    "budget",
    "confirm_seeds",
    "resources",
    "checkpoint_seconds",
    "method_path",
)


def check_same_search(spec: SearchSpec, store: Store) -> None:
    """Refuse to mix two searches, or a search and a study: only budget, seeds to confirm with,
    resources and further sparsities may change.

    Raises:
        UserError: something else differs from what the directory holds.
    """
    before = _read_search_file(store)
    if before is None:
        if store.exists(layout.PLAN_FILE):
            raise UserError(f"{store.place()} holds a study, not a search; choose another --out")
        return
    advice = "choose another --out, or --fresh to delete what is there"
    now = _name_weights_by_digest(spec.model_dump(mode="json"))
    # An older version had neither a choice of layers nor weights.
    before = {"exclude": [], "layer_sparsity": {}, **_name_weights_by_digest(before)}
    for field in now:
        if field not in MAY_CHANGE and before.get(field) != now[field]:
            raise UserError(
                f"{store.place()} holds a search with {field} = {short(before.get(field))}, "
                f"but now it is {short(now[field])}; {advice}"
            )
    check_model_sources([spec.model], store)
    for name in find_changed_methods(_digest_methods(spec), store):
        raise UserError(
            f"{store.place()} holds a search with another content of method '{name}'; {advice}"
        )


def _name_weights_by_digest(search: dict[str, Any]) -> dict[str, Any]:
    """A search with the digest of its weights in place of where they come from."""
    weights = search.get("weights")
    return {**search, "weights": weights["digest"] if isinstance(weights, dict) else None}


def _digest_methods(spec: SearchSpec) -> dict[str, str]:
    """SHA-256 of the files of the user's methods that any candidate can run, by name."""
    digests: dict[str, str] = {}
    for point in spec.corners:
        knobs = {name: value for name, value in point.items() if "." not in name}
        digests |= registry.digest_user_files(spec.method, {**spec.knobs, **knobs})
    return digests


def _read_search_file(store: Store) -> dict[str, Any] | None:
    path, advice = store.place(layout.SEARCH_FILE), "delete it if all is of this search"
    try:
        before = parse_yaml(store.read(layout.SEARCH_FILE), large=True)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{store.place()} is a file; --out names a directory") from None
    except StoreLost:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; {advice}") from None
    if not isinstance(before, dict):
        raise UserError(f"{path} is no mapping of keys to values; {advice}")
    return before


def write_search_description(
    spec: SearchSpec, candidates: Sequence[Candidate], store: Store
) -> None:
    """Write what was asked for, what candidates begin with, and as a study what is expected:
    candidates with rows, and those under way."""
    store_method_files(_digest_methods(spec), store)
    record_model_sources([spec.model], store)
    put_search_weights(spec, store)
    as_search = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    store.write(layout.SEARCH_FILE, as_search.encode())
    study = spec.study_of(spec.sparsities[0], {}, seeds=[spec.seed]).model_dump(mode="json")
    study |= {"description": spec.description, "sparsities": list(spec.sparsities)}
    store.write(layout.STUDY_FILE, yaml.safe_dump(study, sort_keys=False).encode())
    planned = {}
    for candidate in candidates:
        if candidate.outcome in ("done", "running", "failed"):
            source = Proposals(spec, candidate.sparsity)
            proposal = source.resolve(candidate.configuration, candidate.changes)
            planned[proposal.trial.key] = proposal.trial
            if proposal.dense:
                planned[proposal.dense.key] = proposal.dense
    store.write(layout.PLAN_FILE, Plan(tuple(planned.values())).to_json())


def erase_search(store: Store) -> None:
    """Delete a search with all that belongs to it; nothing else that lies in the directory."""
    erase_study(store)
    for name in layout.SEARCH_PARTS:
        store.delete(name)
