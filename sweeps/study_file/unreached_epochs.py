"""What a recipe lays down for epochs that its training does not reach, as after `--set
recipe.epochs=5`, or where retraining inherits the milestones of a longer training."""

from collections.abc import Iterator

from pruning.user_error import list_some
from sweeps.study_file.study import StudySpec
from trainables.training.recipe import Recipe


def list_unreached_epochs(spec: StudySpec) -> list[str]:
    """One line for each milestone, change or warm-up of a study's recipes that lies beyond the
    epochs of its training."""
    recipes = [
        (name, recipe)
        for setting in spec.settings
        for name, recipe in (("recipe", setting.recipe), ("retrain", setting.retrain))
    ]
    lines = (f"{name}: {line}" for name, recipe in recipes for line in _list_lines(recipe))
    return list(dict.fromkeys(lines))


def _list_lines(recipe: Recipe) -> Iterator[str]:
    if not recipe.epochs:
        return
    has = f"its training has {recipe.epochs} epochs"
    for what, epochs in (
        ("milestones", recipe.milestones),
        ("changes", [change.epoch for change in recipe.changes]),
    ):
        if late := [str(epoch) for epoch in epochs if epoch >= recipe.epochs]:
            yield f"{what} at epoch {list_some(late)} are not reached: {has}"
    if recipe.warmup > recipe.epochs:
        yield f"a warm-up of {recipe.warmup} epochs does not come to its end: {has}"
