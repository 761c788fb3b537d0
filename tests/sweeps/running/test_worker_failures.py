"""What a lost worker says of its trial; the texts are those of Ray 2.60."""

import pytest

from sweeps.running.worker_failures import (
    LIMITS,
    LONGEST_PAUSE,
    ROUNDS,
    Cause,
    WorkerFailures,
    describe_failure,
    find_cause,
    pause_before_retry,
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
    "weights": ["artifacts/digits-mlp/dense/s0.000/seed1-ab holds no valid weights of epoch 1"],
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


def test_a_crash_is_told_in_place_of_what_ray_says() -> None:
    crash = "Segmentation fault in graph.py, line 1113, called by epoch.py, line 237"
    assert find_cause(f"{KILLED} Crash: {crash}") == "process"
    assert describe_failure(f"{KILLED} Crash: {crash}") == f"its worker died ({crash})"


@pytest.mark.parametrize("cause", ["unfit", "crowded", "left"])
def test_a_trial_is_not_given_up_for_its_node_before_a_hundred_times(cause: Cause) -> None:
    failures = WorkerFailures()
    assert [failures.add("a", TEXTS[cause][0]) for _ in range(99)] == [None] * 99
    assert "lost 100 times at the same point" in str(failures.add("a", TEXTS[cause][0]))


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
    if cause == "weights":  # no worker was lost
        reason = "the weights of its dense training cannot be read, after 3 tries: artifacts/"
        assert given_up[-1] and given_up[-1].startswith(reason)
        return
    assert given_up[-1] and f"lost {LIMITS[cause]} times at the same point" in given_up[-1]
    assert ("--gpus-per-trial" in given_up[-1]) == (cause == "memory")


def test_progress_and_other_trials_and_machines_taken_away_do_not_count() -> None:
    failures = WorkerFailures()
    for position in range(20):
        failures.position["a"] = position
        assert failures.add("a", TEXTS["process"][0]) is None
        assert failures.add("b", TEXTS["left"][position % 2]) is None
    assert failures.add(f"c{position}", TEXTS["memory"][0]) is None


def test_pauses_grow_up_to_a_longest_one() -> None:
    pauses = [pause_before_retry(count) for count in range(1, 12)]
    assert pauses[:4] == [0, 1, 2, 4] and pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] == LONGEST_PAUSE


def test_a_round_is_over_when_as_many_were_lost_as_ran_side_by_side() -> None:
    failures = WorkerFailures()
    for running in (1, 2, 3, 2):
        failures.started(running)
    rounds = [failures.add_round() for _ in range(3 * ROUNDS)]
    assert rounds == [round for number in range(1, ROUNDS + 1) for round in (0, 0, number)]
    failures.got_further()
    assert failures.add_round() == 1, "one trial was running, and it was lost"


def test_failures_at_a_point_are_counted_whatever_their_cause() -> None:
    failures = WorkerFailures()
    failures.add("a", TEXTS["process"][0])
    failures.add("a", TEXTS["left"][0])
    failures.add("b", TEXTS["left"][0])
    assert failures.count_at_this_point("a") == 2
    failures.position["a"] = 7
    assert failures.count_at_this_point("a") == 0
