"""What a pruned network says of itself before it is trained: whether it is connected, what it
costs, cheap scores."""

from dataclasses import dataclass
from math import ceil, isfinite, log10

from pruning import cost
from pruning.connectivity import emptied_layers, is_connected
from pruning.gradient_scores import flow_scores, loss_sensitivity, positive_copy
from pruning.phases import Prune, Train
from trainables.phase_runner import Course
from trainables.training.seeds import generator
from trainables.trial import Trial

IMAGES = 256  # that the score of sensitivity looks at


@dataclass(frozen=True)
class Gate:
    """A network as the last prune left it."""

    connected: bool
    emptied_layers: str
    effective_macs: float


def find_gate(trial: Trial) -> Gate | None:
    """What is known for good of a trial's network; None while prunes or changes of the masks are
    still to come."""
    left = {index for index, _ in trial.steps[trial.step :]}
    coming = [trial.course.phases[index] for index in sorted(left)]
    if any(
        isinstance(phase, Prune) or (isinstance(phase, Train) and phase.updates) for phase in coming
    ):
        return None
    network = trial.course.network
    return Gate(
        connected=is_connected(network.model, network.masks, network.image),
        emptied_layers=", ".join(emptied_layers(network.masks)),
        effective_macs=float(
            cost.effective_macs(cost.layer_costs(network.model, network.image), network.masks)
        ),
    )


def find_score(course: Course, kind: str) -> float:
    """A score of the network without training, the more the better.

    flow: log10 of the synaptic flow summed over the kept weights (Tanaka et al. 2020, arXiv
    2006.05467). snip: log10 of the sum of |g * w| on training images (Lee et al. 2019, arXiv
    1810.02340). Both as scores of whole networks, after Abdelfattah et al. 2021 (arXiv 2101.08134).

    Returns: -inf where nothing flows.

    Raises:
        ValueError: no such score.
    """
    network = course.network
    if kind == "flow":
        scores = flow_scores(positive_copy(network.model, network.masks), network.image)
    elif kind == "snip":
        seeded = generator(course.spec.seed, "score")
        batches = list(course.images.draw(IMAGES, batch=course.spec.recipe.batch, generator=seeded))
        scores = loss_sensitivity(network.model, network.masks, batches)
    else:
        raise ValueError(f"there are the scores flow and snip, but got '{kind}'")
    total = sum(float(score.double().sum()) for score in scores.values())
    return log10(total) if total > 0 and isfinite(total) else float("-inf")


def tenth(epochs: int) -> int:
    """A tenth of the epochs of a training, at least one."""
    return max(1, ceil(epochs / 10))
