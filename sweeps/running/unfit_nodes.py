"""Nodes that cannot run trials: after some faults a node is taken out of the study, and one whose
GPU is crowded runs fewer trials at once.

Ray has no switch for it that is only this study's. So the places that trials shall not have are
held by actors that do nothing; they end with the study.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.running.stop_request import StopRequest
from sweeps.study_file.study_fields import Resources

FAULTS = 3  # of a node, after which it is taken out
_REPORT = re.compile(
    r"Node(?P<kind>Unfit|Crowded): node (?P<id>\w+) \((?P<address>[^)]*)\): (?P<reason>[^\n]*)"
)


@dataclass
class UnfitNodes:
    """What the workers of one launch have said of their nodes."""

    resources: Resources
    say: Callable[[str], None]
    _faults: Counter[str] = field(default_factory=Counter)
    _places: Counter[str] = field(default_factory=Counter)  # that crowded nodes have lost
    _held: dict[str, list[Any]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)

    def add(self, error: str) -> None:
        """Take note of the end of a worker, by Ray's words for it.

        A node that is unfit for the third time is taken out, and a crowded one runs one trial less
        from the first time on, until it runs none and is taken out, too. Where no node is left, the
        study is asked to stop.
        """
        report = _REPORT.search(error)
        if report is None or report["id"] in self.out:
            return
        node, reason = report["id"], report["reason"].strip()[:300]
        slots = find_slots_by_node(self.resources)
        if report["kind"] == "Crowded":
            self._hold(node, 1)
            self._places[node] += 1
            if self._places[node] < slots.get(node, 0):
                self.say(f"node {report['address']} runs one trial less at once: {reason}")
                return
        else:
            self._faults[node] += 1
            if self._faults[node] < FAULTS:
                return
            self._hold(node, slots.get(node, 0) - self._places[node])
        self.out.add(node)
        self.say(f"node {report['address']} is taken out of the study: {reason}")
        if not any(count for other, count in slots.items() if other not in self.out):
            StopRequest.make(f"no node is left that can run trials; the last one: {reason}")

    def _hold(self, node: str, count: int) -> None:
        self._held.setdefault(node, []).extend(hold_slots(node, self.resources, count))

    def release(self) -> None:
        """Give all places back."""
        for holders in self._held.values():
            for holder in holders:
                ray.kill(holder)
        self._held.clear()


def find_slots_by_node(resources: Resources) -> dict[str, int]:
    """By id how many trials each living node can run at once."""
    slots = {}
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fits = has.get("CPU", 0) / resources.cpus_per_trial
            if resources.gpus_per_trial:
                fits = min(fits, has.get("GPU", 0) / resources.gpus_per_trial)
            slots[node["NodeID"]] = int(fits)
    return slots


class _Holder:
    """Takes a trial's place."""

    def ready(self) -> bool:
        """Whether it has the place; asked, it answers when it does."""
        return True


def hold_slots(node: str, resources: Resources, count: int) -> list[Any]:
    """Take the places of so many trials on a node, each as soon as it is free."""
    actor: Any = ray.remote(_Holder)
    options = actor.options(
        num_cpus=resources.cpus_per_trial,
        num_gpus=resources.gpus_per_trial,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    return [options.remote() for _ in range(count)]
