"""What fits on a cluster, without one: Ray's list of nodes is made up."""

from contextlib import nullcontext
from typing import Any

import pytest
import ray

from pruning.user_error import UserError
from sweeps.running import cluster
from sweeps.study_file.study_fields import Resources
from tests.raising import raising
from tests.troubles import check_trouble


@pytest.fixture(autouse=True)
def _two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: list[dict[str, Any]] = [
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "find_dashboard", lambda: "http://127.0.0.1:8265")


def test_slots_are_counted_on_nodes_that_are_alive() -> None:
    assert cluster.find_slots(Resources(cpus_per_trial=2)) == (10, "20 CPUs, 2 GPUs on 2 nodes")
    assert cluster.find_slots(Resources(cpus_per_trial=1, gpus_per_trial=0.25))[0] == 8


def test_what_no_node_can_hold_is_said() -> None:
    assert cluster.find_shortage(Resources(cpus_per_trial=16, gpus_per_trial=1)) is None
    reason = cluster.find_shortage(Resources(cpus_per_trial=32))
    assert reason == (
        "a trial asks for 32 CPUs, but the largest node of the cluster has 16; "
        "lower --cpus-per-trial"
    )


def test_a_cluster_that_can_grow_is_waited_for_and_this_machine_is_not() -> None:
    printed: list[str] = []
    large = Resources(cpus_per_trial=64)
    cluster.check_cluster(large, say=printed.append, started_here=False)
    assert printed[0].startswith("waiting for the cluster to grow: a trial asks for 64 CPUs")
    assert printed[1] == "Ray's dashboard: http://127.0.0.1:8265"
    with pytest.raises(UserError, match="a trial asks for 64 CPUs"):
        cluster.check_cluster(large, say=printed.append, started_here=True)


def test_a_cluster_that_runs_on_this_machine_is_named_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be one that was forgotten."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "find_running", lambda: "127.0.0.1:6379")
    monkeypatch.setattr(cluster, "check_owner", lambda address: None)
    monkeypatch.setattr(cluster, "deadline", lambda *words: nullcontext())
    monkeypatch.setattr(ray, "init", raising(RuntimeError("used")))
    with pytest.raises(UserError, match="used"), cluster.connected(None):
        pass
    check_trouble("a Ray of yours still runs", capsys.readouterr().out)
