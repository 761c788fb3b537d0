"""Learning-rate schedules: the rate, and the momentum, at any point of a training. Does not import
torch.

A further schedule, such as cosine with restarts, is a case in `learning_rate` and a choice of the
field `schedule` of `Recipe`, in `recipe.py`.
"""

from math import cos, pi

from trainables.training.recipe import Recipe

HIGHEST_MOMENTUM, LOWEST_MOMENTUM = 0.95, 0.85  # of cycle_momentum, as torch's OneCycleLR has them


def learning_rate(
    recipe: Recipe, epoch: float, *, length: int | None = None, step: float = 0.0
) -> float:
    """The learning rate of a recipe at a point of the training, in epochs (2.5 = half-way through
    the third epoch).

    Args:
        length: epochs the whole schedule, milestones and warm-up included, is laid over; the
            recipe's own where None.
        step: how much of an epoch an optimiser step is. As torch's, onecycle reaches its end with
            the last step, not after it.
    """
    scale = _scale(recipe, length)
    epoch, step = epoch * scale, step * scale
    rate = recipe.lr * (min(1.0, (epoch + 1e-12) / recipe.warmup) if recipe.warmup else 1.0)
    match recipe.schedule:
        case "constant":
            return rate
        case "cosine":
            return rate * (1 + cos(pi * min(1.0, epoch / max(1, recipe.epochs)))) / 2
        case "multistep":
            passed = sum(epoch >= milestone for milestone in recipe.milestones)
            return float(rate * recipe.gamma**passed)
        case "onecycle":
            first = rate / recipe.div_factor
            return _one_cycle(recipe, epoch, step, first, rate, first / recipe.final_div_factor)


def momentum(
    recipe: Recipe, epoch: float, *, length: int | None = None, step: float = 0.0
) -> float | None:
    """The momentum of SGD, or Adam's first beta, at a point of the training, with the arguments of
    `learning_rate`; None where it does not change with the rate."""
    if not recipe.cycle_momentum:
        return None
    scale, highest = _scale(recipe, length), HIGHEST_MOMENTUM
    return _one_cycle(recipe, epoch * scale, step * scale, highest, LOWEST_MOMENTUM, highest)


def _scale(recipe: Recipe, length: int | None) -> float:
    """Epochs of the recipe per epoch of a training of some length."""
    return 1.0 if length is None else recipe.epochs / max(1, length)


def _one_cycle(
    recipe: Recipe, epoch: float, step: float, first: float, middle: float, last: float
) -> float:
    """From the first value to the middle one and on to the last, along halves of cosines (Smith &
    Topin 2018, arXiv 1708.07120; as `torch.optim.lr_scheduler.OneCycleLR`, two phases)."""
    epochs = max(1, recipe.epochs)
    turn, end = recipe.pct_start * epochs - step, epochs - step
    if epoch < turn:
        return _anneal(first, middle, epoch / turn)
    return _anneal(middle, last, min(1.0, (epoch - turn) / (end - turn)))


def _anneal(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + cos(pi * part)) / 2
