"""Learning-rate schedules: the rate at any point of a training. Does not import torch.

A further schedule, such as cosine with restarts, is a case in `learning_rate` and a choice of the
field `schedule` of `Recipe`, in `recipe.py`.
"""

from math import cos, pi

from trainables.training.recipe import Recipe


def learning_rate(recipe: Recipe, epoch: float, *, length: int | None = None) -> float:
    """The learning rate of a recipe at a point of the training, in epochs (2.5 = half-way through
    the third epoch).

    Args:
        length: epochs the whole schedule, milestones and warm-up included, is laid over; the
            recipe's own where None.
    """
    if length is not None:
        epoch *= recipe.epochs / max(1, length)
    rate = recipe.lr * (min(1.0, (epoch + 1e-12) / recipe.warmup) if recipe.warmup else 1.0)
    match recipe.schedule:
        case "constant":
            return rate
        case "cosine":
            return rate * (1 + cos(pi * min(1.0, epoch / max(1, recipe.epochs)))) / 2
        case "multistep":
            passed = sum(epoch >= milestone for milestone in recipe.milestones)
            return float(rate * recipe.gamma**passed)
