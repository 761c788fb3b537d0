"""A search that begins with trained weights."""

from pathlib import Path

import pytest
import torch

from models.model_registry import build_model
from pruning.user_error import UserError
from sweeps.planning.plan import make_plan
from sweeps.planning.start_weights import put_weights
from sweeps.search.best_candidates import study_of_the_best
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_directory import check_same_search, write_search_description
from sweeps.search.search_weights import pass_weights_on, resolve_search_weights
from sweeps.study_file.study import build_study
from tests.tuneless import make_spec
from trainables.storage.layout import weights_file
from trainables.storage.store import Store
from trainables.weights.given_weights import read_given_weights


def save(path: Path, seed: int) -> str:
    """A file of weights of the search's network."""
    torch.manual_seed(seed)
    torch.save(build_model("mlp", image=(1, 8, 8), classes=10).state_dict(), path)
    return str(path)


def test_candidates_and_the_study_of_the_best_begin_with_the_weights(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "search")
    given = make_spec(weights=save(tmp_path / "trained.pth", 3), normalise="data")
    spec = resolve_search_weights(given, store)
    assert spec.weights is not None and spec.weights.digest is not None
    point = spec.corners[0]
    study = spec.study_of(0.9, point, seeds=[0])
    assert {trial.spec.weights for trial in make_plan(study).trials} == {spec.weights.digest}
    best = study_of_the_best(spec, {0.9: [Candidate(0.9, 0, "k", point, "done", val_top1=90.0)]})
    trials = make_plan(build_study(best, where="test")).trials
    assert {trial.spec.weights for trial in trials} == {spec.weights.digest}

    write_search_description(spec, [], store)
    assert store.exists(weights_file(spec.weights.digest))
    check_same_search(spec, store)
    save(tmp_path / "trained.pth", 4)
    other = resolve_search_weights(given, store)
    with pytest.raises(UserError, match="holds a search with weights = "):
        check_same_search(other, store)


def test_the_best_begins_with_the_weights_where_their_source_is_gone(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "search")
    spec = resolve_search_weights(make_spec(weights=save(tmp_path / "trained.pth", 3)), store)
    write_search_description(spec, [], store)
    (tmp_path / "trained.pth").unlink()
    best = Candidate(0.9, 0, "k", spec.corners[0], "done", val_top1=90.0)
    study = build_study(study_of_the_best(spec, {0.9: [best]}), where="test")
    with pytest.raises(UserError, match="trained.pth"):
        put_weights(study, store.below("other"))
    pass_weights_on(study, store, store.below("best"))
    put_weights(study, store.below("best"))
    assert spec.weights is not None and spec.weights.digest is not None
    at_first = read_given_weights(store, spec.weights.digest)
    passed_on = read_given_weights(store.below("best"), spec.weights.digest)
    assert at_first and all(torch.equal(passed_on[name], at_first[name]) for name in at_first)


def test_a_search_without_weights_is_as_it_was(tmp_path: Path) -> None:
    spec = make_spec()
    assert resolve_search_weights(spec, Store.at(tmp_path)) is spec and not spec.start_fields()
