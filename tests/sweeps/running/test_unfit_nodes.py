"""Nodes that cannot run trials are taken out of a study, and nobody else is."""

from collections.abc import Iterator
from typing import Any

import pytest
import ray

from sweeps.running import unfit_nodes
from sweeps.running.stop_request import StopRequest
from sweeps.running.unfit_nodes import FAULTS, UnfitNodes, find_slots_by_node, hold_slots
from sweeps.study_file.study_fields import Resources
from tests.troubles import check_trouble

QUARTER = Resources(cpus_per_trial=2, gpus_per_trial=0.25)


def unfit(node: str, kind: str = "Unfit") -> str:
    """What Ray says where a worker on a node has left."""
    return (
        f"ray::RayTrial.train() trainables.node_faults.Node{kind}: node {node} (10.0.0.{node}): "
        "its GPU cannot be used: Found no NVIDIA driver"
    )


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Two nodes with room for four and two trials; which places of them are taken."""
    nodes: list[dict[str, Any]] = [
        {"Alive": True, "NodeID": "1", "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": True, "NodeID": "2", "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "NodeID": "3", "Resources": {"CPU": 64.0}},
        {"Alive": False, "NodeID": "4", "Resources": {"CPU": 8.0, "GPU": 1.0}},
    ]
    taken: list[tuple[str, int]] = []
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(
        unfit_nodes, "hold_slots", lambda node, resources, count: taken.append((node, count)) or []
    )
    yield taken
    StopRequest.take()


def test_places_are_counted_by_node(held: list[tuple[str, int]]) -> None:
    assert find_slots_by_node(QUARTER) == {"1": 4, "2": 2, "3": 0}
    assert find_slots_by_node(Resources(cpus_per_trial=2)) == {"1": 4, "2": 2, "3": 32}


def test_a_node_is_taken_out_at_its_third_fault_and_said_once(
    held: list[tuple[str, int]],
) -> None:
    said: list[str] = []
    nodes = UnfitNodes(QUARTER, said.append)
    for _ in range(FAULTS - 1):
        nodes.add(unfit("1"))
        nodes.add("The actor died because its node has died.")
    assert not held and not said
    for _ in range(5):
        nodes.add(unfit("1"))
    assert held == [("1", 4)]
    assert said == [
        "node 10.0.0.1 is taken out of the study: its GPU cannot be used: Found no NVIDIA driver"
    ]
    assert not StopRequest.reason


def test_without_a_node_that_is_left_the_study_stops(held: list[tuple[str, int]]) -> None:
    nodes = UnfitNodes(QUARTER, lambda line: None)
    for node in ("1", "2"):
        assert not StopRequest.reason
        for _ in range(FAULTS):
            nodes.add(unfit(node))
    assert StopRequest.reason.startswith("no node is left that can run trials; the last one: its")
    assert "\n" not in StopRequest.reason


def test_a_crowded_node_runs_one_trial_less_each_time_until_it_is_taken_out(
    held: list[tuple[str, int]],
) -> None:
    said: list[str] = []
    nodes = UnfitNodes(QUARTER, said.append)
    nodes.add(unfit("2", "Crowded"))
    nodes.add(unfit("1", "Crowded"))
    assert held == [("2", 1), ("1", 1)] and not nodes.out
    assert said[0].startswith("node 10.0.0.2 runs one trial less at once: ")
    nodes.add(unfit("2", "Crowded"))
    assert held[2:] == [("2", 1)] and nodes.out == {"2"}
    assert said[2].startswith("node 10.0.0.2 is taken out of the study: ")
    check_trouble("a GPU is full of other people's work", " ".join(said))
    assert not StopRequest.reason
    for _ in range(FAULTS):
        nodes.add(unfit("1"))
    assert held[3:] == [("1", 3)], "one of its four places was held already"
    assert StopRequest.reason.startswith("no node is left that can run trials")


@pytest.mark.slow
def test_ray_gives_held_places_to_nobody_else_until_they_are_released() -> None:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        (node,) = find_slots_by_node(Resources(cpus_per_trial=1))
        holders = hold_slots(node, Resources(cpus_per_trial=1), 3)
        ray.get([holder.ready.remote() for holder in holders])
        assert ray.available_resources()["CPU"] == 1
        nodes = UnfitNodes(Resources(cpus_per_trial=1), lambda line: None, _held={node: holders})
        nodes.release()
        wide: Any = ray.remote(num_cpus=4)(lambda: "ran")
        assert ray.get(wide.remote(), timeout=60) == "ran"
    finally:
        ray.shutdown()
