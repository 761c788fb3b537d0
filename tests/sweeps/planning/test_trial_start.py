"""What the trials of a setting begin with."""

from typing import Any

from sweeps.planning.trial_start import UNRESOLVED, find_start, name_augment_files
from sweeps.study_file.study import StudySpec, build_study
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec


def study(**fields: Any) -> StudySpec:
    """A small study."""
    raw = {"name": "x", "dataset": "digits", "model": "mlp", "methods": ["random"], "seeds": [0]}
    return build_study({**raw, "sparsities": [0.5], **fields}, where="test")


def test_the_fields_of_a_setting_become_those_of_its_trials() -> None:
    assert find_start(study()) == {"weights": "", "normalise": None, "image_size": None}
    given = {"source": "a.pth", "digest": "0123456789abcdef"}
    start = find_start(study(weights=given, normalise={"mean": [0.5], "std": [0.2]}, image_size=16))
    assert start == {
        "weights": "0123456789abcdef",
        "normalise": ((0.5,), (0.2,)),
        "image_size": 16,
    }
    assert find_start(study(weights="a.pth"))["weights"] == UNRESOLVED


def test_only_functions_of_the_user_have_files() -> None:
    own = "tests.trainables.data.own_augmentations:noisy"
    for augment, names in (("crop_flip", set()), ((own, "random_erasing"), {own})):
        recipe = Recipe(augment=augment)
        spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=0, recipe=recipe)
        assert set(name_augment_files(spec).augment_sources) == names
