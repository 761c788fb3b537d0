"""The trained weights that a search begins with, as those of a study."""

from sweeps.planning.start_weights import make_request, put_weights, resolve_weights
from sweeps.search.search_spec import SearchSpec
from sweeps.study_file.study import StudySpec
from trainables.storage.store import Store
from trainables.weights.given_weights import copy_weights


def resolve_search_weights(spec: SearchSpec, store: Store) -> SearchSpec:
    """The search with the digest of its weights, and the mean and std that they bring.

    Raises:
        UserError: see `resolve_weights`.
    """
    if spec.weights is None:
        return spec
    study = resolve_weights(_any_study(spec), store)
    return spec.model_copy(update={"weights": study.weights, "normalise": study.normalise})


def put_search_weights(spec: SearchSpec, store: Store) -> None:
    """Put the weights that the candidates of a resolved search begin with into its directory.

    Raises:
        UserError: see `put_weights`.
    """
    if spec.weights is not None:
        put_weights(_any_study(spec), store)


def pass_weights_on(study: StudySpec, store: Store, best: Store) -> None:
    """Put a search's weights into the study directory of its best, which is made when their source
    may be long gone."""
    for setting in study.settings:
        if setting.weights is not None:
            copy_weights(make_request(setting), store, best)


def _any_study(spec: SearchSpec) -> StudySpec:
    """The study of one candidate: all begin with the same weights."""
    return spec.study_of(spec.sparsities[0], spec.corners[0], seeds=[spec.seed])
