"""What a study says of the beginning of its trials: weights, mean and std, size of images."""

from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.planning.plan import make_plan
from sweeps.study_file.start_fields import IMAGENET, find_normalise
from sweeps.study_file.study import StudySpec, build_study

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 1, "batch": 400, "augment": "none"},
    "methods": ["random"],
    "sparsities": [0.5],
    "seeds": [0],
}
DIGEST = "0123456789abcdef"


def study(**fields: Any) -> StudySpec:
    """The tiny study with some fields."""
    return build_study({**TINY, **fields}, where="test")


@pytest.mark.parametrize(
    ("given", "source", "fresh"),
    [
        ("a.pth", "a.pth", ()),
        ({"source": "a.pth"}, "a.pth", ()),
        ({"file": "a.pth", "head": "fresh"}, "a.pth", ("head",)),
        ({"source": "a.pth", "head": "fresh", "fresh": "conv1"}, "a.pth", ("head", "conv1")),
    ],
)
def test_weights_are_a_source_or_a_mapping(
    given: object, source: str, fresh: tuple[str, ...]
) -> None:
    weights = study(weights=given).weights
    assert weights is not None
    assert (weights.source, weights.fresh_layers, weights.digest) == (source, fresh, None)


def test_no_weights_are_random_ones() -> None:
    assert study().weights is None and study(weights=None).weights is None
    spec = make_plan(study()).trials[0].spec
    assert (spec.weights, spec.normalise, spec.image_size) == ("", None, None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"weights": {"head": "fresh"}}, "weights.source is missing"),
        ({"weights": {"source": "a", "digest": "x"}}, "weights.digest: "),
        ({"weights": {"source": "a", "heat": "fresh"}}, "did you mean 'head'"),
        ({"weights": ["a.pth"]}, "weights: must be a file, torchvision:default"),
        ({"normalise": "imagnet"}, "normalise"),
        (
            {"normalise": {"mean": [0.5], "std": [0.0]}},
            "normalise.std.0: must be above 0, but got 0.0",
        ),
        ({"normalise": {"mean": [0.5, 0.5], "std": [0.1]}}, "one number per channel each"),
        (
            {"normalise": {"mean": [128], "std": [0.1]}},
            "normalise.mean.0: must be at most 1, but got 128",
        ),
        ({"image_size": 4}, "image_size: must be at least 8, but got 4"),
    ],
)
def test_what_is_wrong_is_one_line(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        study(**fields)
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_mean_and_std() -> None:
    assert find_normalise(study(normalise="imagenet").normalise) == IMAGENET
    assert find_normalise(study(normalise="data").normalise) is None
    assert find_normalise(study().normalise) is None
    given = study(normalise={"mean": [0.5], "std": [0.25]}).normalise
    assert find_normalise(given) == ((0.5,), (0.25,))


def test_what_a_trial_begins_with_is_part_of_the_key_of_every_trial() -> None:
    plain = make_plan(study()).trials
    for fields in (
        {"weights": {"source": "a.pth", "digest": DIGEST}},
        {"normalise": {"mean": [0.5], "std": [0.25]}},
        {"image_size": 8},
    ):
        trials = make_plan(study(**fields)).trials
        assert len(trials) == len(plain)
        assert not {trial.key for trial in trials} & {trial.key for trial in plain}


def test_the_source_is_no_part_of_the_key() -> None:
    one, other = (
        make_plan(study(weights={"source": source, "digest": DIGEST})).by_key
        for source in ("a.pth", "b/c.safetensors")
    )
    assert list(one) == list(other)


def test_a_further_setting_inherits_the_weights_and_may_have_its_own() -> None:
    other = "fedcba9876543210"
    spec = study(
        weights={"source": "a.pth", "digest": DIGEST},
        also=[
            {"recipe": {"epochs": 2}},
            {"model": "simple_cnn", "weights": {"source": "b.pth", "digest": other}},
            {"model": "resnet8", "weights": None},
        ],
    )
    assert [s.weights and s.weights.digest for s in spec.settings] == [DIGEST, DIGEST, other, None]


def test_the_file_that_a_study_writes_is_read_back() -> None:
    spec = study(weights={"file": "a.pth", "digest": DIGEST}, normalise="imagenet", image_size=32)
    again = build_study(spec.model_dump(mode="json"), where="test")
    assert again == spec and [t.key for t in make_plan(again).trials] == [
        t.key for t in make_plan(spec).trials
    ]


@pytest.mark.parametrize("method", ["reinitialised", "small_from_scratch"])
def test_fresh_weights_that_are_never_trained_are_refused(method: str) -> None:
    weights = {"source": "a.pth", "digest": DIGEST}
    fields: dict[str, Any] = {"model": "simple_cnn", "methods": [method], "weights": weights}
    with pytest.raises(UserError, match=f"method '{method}' draws its weights anew and trains"):
        make_plan(study(**fields, recipe={"epochs": 0}))
    assert make_plan(study(**fields, recipe={"epochs": 1})).trials
