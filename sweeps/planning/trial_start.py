"""What the trials of a setting begin with: weights, the form of images, and the user's functions
that augment them. Imports neither torch nor Ray."""

from typing import Any

from sweeps.study_file.start_fields import find_normalise
from sweeps.study_file.study import StudySpec
from trainables.data.augment_names import digest_own_functions
from trainables.trial_spec import TrialSpec

UNRESOLVED = "unresolved"  # in place of the digest of weights whose source was not read


def find_start(setting: StudySpec) -> dict[str, Any]:
    """The fields of a trial's spec that say what it begins with."""
    return {
        "weights": (setting.weights.digest or UNRESOLVED) if setting.weights else "",
        "normalise": find_normalise(setting.normalise),
        "image_size": setting.image_size,
    }


def name_augment_files(spec: TrialSpec) -> TrialSpec:
    """A trial with the SHA-256 of the files of the user's functions among its augmentations.

    Raises:
        UserError: see `digest_own_functions`.
    """
    digests = digest_own_functions(spec.augments)
    return spec.model_copy(update={"augment_sources": digests}) if digests else spec
