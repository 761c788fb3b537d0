"""What a lost worker says of its trial; the texts are those of Ray 2.60."""

import pytest

from sweeps.running.worker_failures import (
    LIMITS,
    Cause,
    WorkerFailures,
    describe_failure,
    find_cause,
)

KILLED = (
    "The actor died unexpectedly before finishing this task. class_name: RayTrial actor_id: "
    "36b pid: 25265 Worker exit "
    "type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error"
    " code 2. End of file. Some "
    "common causes include: (1) the process was killed by the OOM killer due to high memory "
    "usage, (2) ray stop --force "
    "was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected "
    "error. If the process was "
    "killed by the kernel OOM killer (verifiable by checking for OOM in dmesg of the OOMing "
    "node), consider ..."
)
TEXTS: dict[Cause, list[str]] = {
    "process": [
        KILLED,
        "ray::RayTrial.train() torch.AcceleratorError: CUDA error: device-side assert triggered",
    ],
    "left": [
        "ray::RayTrial.train() File ray_trainable.py, line 92, in step raise Leaving "
        "trainables.ray_trainable.Leaving",
        "The actor died because its node was preempted. The actor was preempted.",
    ],
    "unfit": [
        "ray::RayTrial.train() trainables.node_faults.NodeUnfit: node 3f2a (10.0.0.7): its GPU "
        "cannot be used: Found no NVIDIA driver on your system",
    ],
    "crowded": [
        "ray::RayTrial.train() trainables.node_faults.NodeCrowded: node 3f2a (10.0.0.7): others "
        "take the GPU's memory",
    ],
    "memory": [
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
        "The actor died because of the node running low on memory: memory used 15.1GB / 16.0GB",
    ],
    "node": [
        "The actor died because its node has died. Node Id: 24 the actor's node was "
        "terminated unexpectedly",
        "The actor's node was terminated: health check failed due to missing too many "
        "heartbeats; its node has died.",
    ],
}


@pytest.mark.parametrize(
    ("cause", "text"), [(cause, text) for cause, texts in TEXTS.items() for text in texts]
)
def test_the_cause_is_read_from_what_ray_says(cause: Cause, text: str) -> None:
    assert find_cause(text) == cause
    assert "\n" not in describe_failure(text) and len(describe_failure(text)) < 260


def test_a_loss_is_told_without_rays_guesses() -> None:
    assert (
        describe_failure(KILLED)
        == "its worker died (Worker unexpectedly exits with a connection error code 2. End of file)"
    )


@pytest.mark.parametrize("cause", ["unfit", "crowded", "left"])
def test_a_trial_is_never_given_up_for_its_node(cause: Cause) -> None:
    failures = WorkerFailures()
    assert [failures.add("a", TEXTS[cause][0]) for _ in range(100)] == [None] * 100


def test_the_line_about_an_unfit_node_names_the_node_and_the_fault() -> None:
    assert describe_failure(TEXTS["unfit"][0]) == (
        "its node cannot run it (10.0.0.7): its GPU cannot be used: Found no NVIDIA driver on your "
        "system"
    )


@pytest.mark.parametrize("cause", LIMITS)
def test_a_trial_that_gets_no_further_is_given_up(cause: Cause) -> None:
    failures = WorkerFailures()
    text = TEXTS[cause][0]
    given_up = [failures.add("a", text) for _ in range(LIMITS[cause])]
    assert given_up[:-1] == [None] * (LIMITS[cause] - 1)
    assert given_up[-1] and f"lost {LIMITS[cause]} times at the same point" in given_up[-1]
    assert ("--gpus-per-trial" in given_up[-1]) == (cause == "memory")


def test_progress_and_other_trials_and_machines_taken_away_do_not_count() -> None:
    failures = WorkerFailures()
    for position in range(20):
        failures.position["a"] = position
        assert failures.add("a", TEXTS["process"][0]) is None
        assert failures.add("b", TEXTS["left"][position % 2]) is None
    assert failures.add(f"c{position}", TEXTS["memory"][0]) is None
