"""Early checks of a candidate: whether its pruned network is connected and what it costs, and cheap
scores before it is trained."""

from dataclasses import dataclass
from math import ceil, isfinite, log10

from pruning import cost
from pruning.connectivity import emptied_layers, is_connected
from pruning.gradient_scores import flow_scores, loss_sensitivity, positive_copy
from pruning.method_calls import IMAGE_BATCH
from pruning.phases import Prune, Train
from pruning.seeds import make_generator
from trainables.phase_runner import PhaseRunner
from trainables.trial import Trial

IMAGES = 256  # training images for the score snip


@dataclass(frozen=True)
class PrunedNetwork:
    """What is known of a network as the last prune left it."""

    connected: bool
    emptied_layers: str
    effective_macs: float


def check_pruned_network(trial: Trial) -> PrunedNetwork | None:
    """What stays so of a trial's network; None while prunes or changes of the masks are still to
    come."""
    left = {index for index, _ in trial.steps[trial.step :]}
    phases = [trial.runner.phases[index] for index in sorted(left)]
    if any(
        isinstance(phase, Prune) or (isinstance(phase, Train) and phase.updates) for phase in phases
    ):
        return None
    network = trial.runner.network
    costs = cost.layer_costs(network.model, network.image)
    return PrunedNetwork(
        connected=is_connected(network.model, network.masks, network.image),
        emptied_layers=", ".join(emptied_layers(network.masks)),
        effective_macs=float(cost.effective_macs(costs, network.masks)),
    )


def score_untrained(runner: PhaseRunner, kind: str) -> float:
    """A score of the network without training, the more the better.

    flow: log10 of the synaptic flow summed over the kept weights (Tanaka et al. 2020, arXiv
    2006.05467). snip: log10 of the sum of |g * w| on training images (Lee et al. 2019, arXiv
    1810.02340). Both as scores of whole networks, after Abdelfattah et al. 2021 (arXiv 2101.08134).

    Returns: -inf where nothing flows.

    Raises:
        ValueError: no such score.
    """
    network, spec = runner.network, runner.spec
    if kind == "flow":
        scores = flow_scores(positive_copy(network.model, network.masks), network.image)
    elif kind == "snip":
        seeded = make_generator(spec.seed, "score")
        batches = list(runner.loader.draw(IMAGES, batch=IMAGE_BATCH, generator=seeded))
        scores = loss_sensitivity(network.model, network.masks, batches)
    else:
        raise ValueError(f"there are the scores flow and snip, but got '{kind}'")
    total = sum(float(score.double().sum()) for score in scores.values())
    return log10(total) if total > 0 and isfinite(total) else float("-inf")


def tenth(epochs: int) -> int:
    """A tenth of the epochs of a training, at least one."""
    return max(1, ceil(epochs / 10))
