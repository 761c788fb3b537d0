"""The searcher that hands the trials of a plan to Ray Tune, each as soon as the trials it needs are
done."""

import heapq
from typing import Any

from ray.tune.search import Searcher

from sweeps.planning.plan import Plan
from sweeps.running.stop_request import StopRequest


class PlanSearcher(Searcher):
    """Releases the missing trials of a plan in order, holding back those whose parents are still
    running.

    There is no barrier: the children of one seed start while another seed is still in its dense
    training. When a parent fails, its children are dropped. The object is copied by Tune, so it
    shares nothing with the driver.

    Args:
        missing: keys to run, in the plan's order.
        environment: the plain dictionary each trial gets as its environment.

    Raises:
        ValueError: a trial comes before one that it needs.
    """

    def __init__(self, plan: Plan, missing: tuple[str, ...], environment: dict[str, Any]) -> None:
        super().__init__(metric="steps_done", mode="max")
        self._environment = environment
        self._specs = {key: plan.by_key[key].spec.model_dump(mode="json") for key in missing}
        self._rank = {key: rank for rank, key in enumerate(missing)}
        self._needs = {
            key: {parent for parent in plan.by_key[key].parents if parent in self._specs}
            for key in missing
        }
        self._children = {
            key: [child for child in plan.children.get(key, []) if child in self._specs]
            for key in missing
        }
        for key, needs in self._needs.items():
            # Tune sleeps for minutes when nothing runs and nothing is suggested: a cycle must not
            # get that far.
            if late := [parent for parent in needs if self._rank[parent] > self._rank[key]]:
                raise ValueError(f"{key} needs {late[0]}, which comes after it in the plan")
        self._ready = [(self._rank[key], key) for key, needs in self._needs.items() if not needs]
        self._waiting = {key for key, needs in self._needs.items() if needs}
        self._key_of: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial that can run; None while all others wait; FINISHED when none is left, or
        the study is to stop."""
        if StopRequest.reason:
            return Searcher.FINISHED
        if not self._ready:
            return None if self._waiting else Searcher.FINISHED
        _, key = heapq.heappop(self._ready)
        self._key_of[trial_id] = key
        return {"key": key, "spec": self._specs[key], "environment": self._environment}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Release the children of a trial that is done; drop those of one that is not."""
        key = self._key_of.pop(trial_id)
        done = not error and result is not None and result.get("status") == "done"
        for child in self._children[key]:
            self._needs[child].discard(key)
            if not done:
                self._drop(child)
            elif not self._needs[child] and child in self._waiting:
                self._waiting.remove(child)
                heapq.heappush(self._ready, (self._rank[child], child))

    def _drop(self, key: str) -> None:
        self._waiting.discard(key)
        for child in self._children[key]:
            self._drop(child)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: every launch makes a new searcher from the study directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
