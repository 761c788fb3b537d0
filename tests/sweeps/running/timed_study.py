"""A finished study whose networks are timed, in the tests of the latency pass."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeps.planning.plan import make_plan
from sweeps.planning.trial_status import read_trial_status
from sweeps.running.latency_pass import (
    TimingResult,
    time_pending,
    time_structures,
)
from sweeps.running.latency_pending import (
    PendingLatency,
    find_pending,
    find_pending_keys,
    read_image_sizes,
)
from sweeps.study_file.study import StudySpec, build_study
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.timing.network_structure import NetworkStructure

ROOT = Path(__file__).resolve().parents[3]
STUDY: dict[str, Any] = {
    "name": "timed",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 1, "batch": 400, "lr": 0.05, "augment": "none"},
    "retrain": {"epochs": 0},
    "methods": [
        "magnitude",
        "l1_filter",
        {"lottery_ticket": {"levels": 2}},
        {"wanda": {"pattern": "2:4"}},
    ],
    "sparsities": [0.5],
    "seeds": [0, 1],
}
LEVELS = 2 * (
    1 + 1 + 1 + 2 + 2
)  # of a seed: dense, magnitude, l1_filter, two levels of the ticket, raw and recalibrated
FORMS = 1 + 1 + 1 + 2 + 1


def build(**change: Any) -> StudySpec:
    return build_study({**STUDY, **change}, where="test")


class Study:
    """A finished study and the passes over it; `timed` are the forms that were, over all passes."""

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        self.spec, self.plan, self.store = spec, make_plan(spec), Store.at(folder)
        self.timed: list[NetworkStructure] = []
        self.printed: list[str] = []

    @property
    def done(self) -> frozenset[str]:
        return read_trial_status(self.plan, self.store).done

    def missing(self) -> list[str]:
        return find_pending_keys(self.plan, self.done, self.store)

    def pending(self) -> PendingLatency:
        return find_pending(self.plan, self.missing(), self.store, read_image_sizes(self.spec))

    def structures(self) -> list[NetworkStructure]:
        return list(self.pending().structures.values())

    def time(self, forms: Sequence[NetworkStructure]) -> Iterator[TimingResult]:
        """Really time them, twice each."""
        for form, result in zip(
            forms, time_structures(forms, gpu=False, threads=1, runs=2, seconds=0), strict=True
        ):
            self.timed.append(form)
            yield result

    def walk(
        self, time: Callable[[Sequence[NetworkStructure]], Iterator[TimingResult]] | None = None
    ) -> dict[str, str]:
        return time_pending(self.pending(), self.store, time or self.time, say=self.printed.append)

    def table(self) -> list[dict[str, Any]]:
        paths = self.store.list("latency", ".parquet")
        return [
            row
            for path in paths
            for row in parquet_tables.decode_table("latency", self.store.read(path)).to_pylist()
        ]
