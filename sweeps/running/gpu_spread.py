"""Trials that share GPUs, spread over all of them.

Ray gives a trial that wants a fraction of a GPU the fullest one that still has room (its allocation
of resource instances picks the smallest remainder that suffices, and has no option to spread): four
trials of a quarter would share one GPU while three are idle.
"""

from math import ceil

import ray

from sweeps.study_file.study_fields import Resources

DIGITS = 10_000  # Ray counts resources in ten-thousandths


def spread_over_gpus(resources: Resources, trials: int, gpus: int) -> Resources:
    """What so few trials take of so many GPUs, so that none has more of them than it must; as it
    is where there are enough trials for all."""
    if not 0 < resources.gpus_per_trial < 1 or not gpus or not trials:
        return resources
    on_each = ceil(trials / gpus)
    part = DIGITS // on_each / DIGITS
    if part <= resources.gpus_per_trial:
        return resources
    return resources.model_copy(update={"gpus_per_trial": part})


def count_gpus() -> int:
    """GPUs of the connected cluster; 0 while it is away."""
    try:
        return int(sum(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]))
    except Exception:  # the cluster may be going down at this moment
        return 0
