"""Whether the recipes of a study can be trained by as many ranks as its resources say."""

from collections.abc import Mapping

from sweeps.study_file.study_fields import Resources
from trainables.data.batch_part import SMALLEST
from trainables.training.recipe import Recipe


def check_ranks(resources: Resources, recipes: Mapping[str, Recipe]) -> None:
    """Pass if each recipe, by the name of its field, can be trained by several ranks, or there is
    only one.

    Raises:
        ValueError: it cannot.
    """
    if resources.ranks == 1:
        return
    least = SMALLEST * resources.ranks
    for name, recipe in recipes.items():
        batches = [recipe.batch, *(change.batch for change in recipe.changes if change.batch)]
        if min(batches) < least:
            raise ValueError(
                f"a batch is shared by {resources.ranks} ranks: {name}.batch must be at least "
                f"{least}, but got {min(batches)}"
            )
        if recipe.compile is True:
            raise ValueError(
                f"{name}.compile: true cannot go with several ranks per trial, which train without "
                "torch.compile; leave it out"
            )
