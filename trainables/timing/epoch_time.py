"""How long an epoch takes on this machine, from some seconds of it."""

import time

from pruning.phases import Train
from trainables.environment import Environment
from trainables.phase_runner import PhaseRunner
from trainables.timing.stopwatch import wait_for_device
from trainables.training.process import set_up_gpu, set_up_process
from trainables.training.step_graph import UNTIMED_STEPS
from trainables.trial_spec import TrialSpec

SECONDS = 3.0


def time_epoch(spec: TrialSpec, environment: Environment, *, seconds: float = SECONDS) -> float:
    """Seconds that one epoch of a trial's training takes, its evaluation on the validation images
    included.

    The trial begins anew, so it must be one that starts from its own first weights.

    Args:
        environment: where to train; its store should be a temporary one, because weights may be
            stored there.
        seconds: for how long to train at most.
    """
    set_up_process(environment.threads)
    if environment.device == "cuda":
        set_up_gpu(sharing=environment.sharing_gpu, deterministic=environment.deterministic)
    runner = PhaseRunner(spec, environment)
    runner.begin()
    phases = enumerate(runner.phases)
    index, epoch = next((i, phase.start) for i, phase in phases if isinstance(phase, Train))
    # In the first steps memory is allocated, kernels are chosen and graphs captured.
    for _ in range(UNTIMED_STEPS if environment.device == "cuda" else 2):
        if runner.run_step(index, epoch, 0, lambda: True):
            epoch += 1
    wait_for_device(runner.network.device)
    before, began = runner.batches, time.perf_counter()
    until = began + seconds
    finished = runner.run_step(index, epoch, 0, lambda: time.perf_counter() >= until)
    wait_for_device(runner.network.device)
    per_epoch = runner.loader.batches_per_epoch(spec.recipe.batch)
    if finished:  # its evaluation was timed with it
        return (time.perf_counter() - began) * per_epoch / max(1, per_epoch - before)
    per_batch = (time.perf_counter() - began) / max(1, runner.batches - before)
    images = runner.loader
    # A forward pass takes a third of the time of a training step.
    evaluation = images.count("validation") / images.count("training") / 3
    return per_batch * per_epoch * (1 + evaluation)
