"""One study under faults: the command line runs, faults come, and what dies is started again until
all is done."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.chaos.disk import Disk
from tests.chaos.driver import Driver
from tests.chaos.faults import KINDS, Fault, Planned
from tests.chaos.nodes import Node, Nodes
from tests.chaos.places import Place
from tests.chaos.processes import Process, marked

T = TypeVar("T")
PATIENCE = 600.0  # seconds without any progress after which the campaign is given up
RESULTS = ("rows/", "curves/", "layers/", "artifacts/")
log = logging.getLogger("chaos")


class Stalled(RuntimeError):
    """The study does not move on, or something that must come does not come."""


@dataclass
class Stage:
    """A study in one place, on a cluster shared with other stages.

    rows_seen: when each row file was first seen (unix time). replaced: row files that changed
    afterwards. changed: files that another launch of the finished study changed. doomed: raylets
    that will be killed, frozen: processes that are stopped; neither counts as there.
    """

    name: str
    study: dict[str, Any]
    folder: Path
    mark: str
    workers: int
    nodes: Nodes
    place: Place
    environment: Mapping[str, str]
    disk: Disk | None = None
    proxy: Any = None
    faults: list[Fault] = field(default_factory=list)
    rows_seen: dict[str, float] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    failures: set[str] = field(default_factory=set)
    doomed: set[int] = field(default_factory=set)
    frozen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.file = self.folder / "study.yaml"
        self.probe = self.folder / "probe"
        self.lag = self.folder / "lag"  # while it is there, listings lag by the seconds in it
        self.driver = Driver(self.file, self.place.uri, self.nodes.address, self.environment)
        self.finished: dict[str, str] = {}
        self.changed: dict[str, str] = {}
        self._pids: set[int] = set()  # of all that had opened a trial before the last fault
        self._stamps: dict[str, str] = {}
        self._down, self._done, self._grows = False, False, True
        self._adding: threading.Thread | None = None
        self._look_next = self._count_next = self._moved_at = time.monotonic()
        self._progress = (0, 0)

    # The course of it

    def run(self, planned: list[Planned]) -> None:
        """Run the study to its end under these faults; it grows by a seed whenever it is done
        before they are.

        Raises:
            Stalled: it does not get there.
        """
        self.driver.start()
        for fault in planned:
            if not fault.hasty:
                self.wait_for_recovery()
            self.watch(fault.delay)
            KINDS[fault.kind](self, fault)
        self._grows = False
        self.wait_for(lambda: self._done, "the study to finish", patience=3600)
        # a writer that was killed a moment ago might still be at work; one of yesterday is not
        self.place.age()
        self.finished, self._done = self._results(), False
        self.wait_for(lambda: self._done, "another launch of the finished study")
        self.changed = dict(set(self._results().items()) ^ set(self.finished.items()))

    def _results(self) -> dict[str, str]:
        """All files with what is measured, each with its stamp."""
        return {
            path: stamp for path, stamp in self.place.files().items() if path.startswith(RESULTS)
        }

    def write(self) -> None:
        """Write the study file, with the seeds of the moment."""
        self.file.write_text(yaml.safe_dump(self.study))

    def wait_for_recovery(self) -> None:
        """Until the trials that the last fault hit go on, or another process works in place of
        theirs."""
        fault = self.faults[-1] if self.faults else None
        since = fault.since if fault else 0.0
        struck = set(fault.hit) if fault and fault.since == fault.at else set()

        def recovered() -> bool:
            at_work = [
                (pid, key)
                for pid, at, key in self._last_lines()
                if at > since and pid not in struck
            ]
            wanted = {key for key in fault.keys if key not in self.rows_seen} if fault else set()
            replaced = any(pid not in self._pids for pid, _ in at_work)
            return (
                self._done or replaced or (bool(wanted) and wanted <= {key for _, key in at_work})
            )

        self.wait_for(recovered, "recovery")

    def _last_lines(self) -> list[tuple[int, float, str]]:
        """(process id, unix time, key) of the last batch that each process wrote down."""
        found = []
        for path in self.probe.glob("*.log"):
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - 400))
                lines = stream.read().decode().splitlines()
            if lines and " open " not in lines[-1]:
                at, _, key = lines[-1].split(" ", 2)
                found.append((int(path.stem), float(at), key))
        return found

    def begin(self, planned: Planned, hit: Iterable[Process], note: str = "") -> Fault:
        """Write down that a fault happens now to these processes."""
        struck = list(hit)
        keys = tuple(str(self.key_of(process)) for process in self.working() if process in struck)
        fault = Fault(planned, self.now(), tuple(process.pid for process in struck), keys, note)
        fault.since = fault.at
        self.faults.append(fault)
        self._pids = {int(path.stem) for path in self.probe.glob("*.log")}
        told = ", ".join(key.partition("/")[2] for key in keys) or "no trial at work"
        log.info("%3d %s%s: %s", planned.number, planned.kind, f" ({note})" if note else "", told)
        return fault

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While the store is down a driver that stopped is not launched again, and no node is
        replaced."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    # What there is

    @staticmethod
    def now() -> float:
        """Unix time, as the witnesses use it."""
        return time.time()

    def processes(self) -> list[Process]:
        """All processes of the campaign."""
        return marked(self.mark)

    def trials(self) -> list[Process]:
        """Processes that run trials and are not frozen."""
        return [
            process
            for process in self.processes()
            if process.is_trial and process.pid not in self.frozen
        ]

    def working(self) -> list[Process]:
        """Those of `trials` that have a trial open which is not done."""
        keys = {process: self.key_of(process) for process in self.trials()}
        return [process for process, key in keys.items() if key and key not in self.rows_seen]

    def living_nodes(self) -> list[Node]:
        """Worker nodes that run and are not about to die."""
        there = {process.pid for process in self.processes() if process.is_raylet} - self.doomed
        return [node for node in self.nodes.added if node.raylet in there]

    def node(self, raylet: int) -> Node:
        """The node with that raylet."""
        return next(node for node in self.nodes.added if node.raylet == raylet)

    def key_of(self, process: Process) -> str | None:
        """The key of the trial that a process opened last."""
        path = self.probe / f"{process.pid}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines[-1].split(" ", 2)[2] if lines else None

    # Waiting

    def wait_for(
        self,
        condition: Callable[[], T],
        what: str,
        *,
        every: float = 0.2,
        patience: float = PATIENCE,
    ) -> T:
        """Watch until a condition is true; returns what it returned.

        Raises:
            Stalled: it does not become true.
        """
        until = time.monotonic() + patience
        while not (found := condition()):
            if time.monotonic() > until:
                raise Stalled(
                    f"{what} did not come in {patience:.0f} s; the driver's last words: "
                    f"{self.driver.last_words()}"
                )
            self.watch(every)
        return found

    def watch(self, seconds: float) -> None:
        """Let time pass, and meanwhile look at the rows, launch the driver again and replace dead
        nodes."""
        until = time.monotonic() + seconds
        while True:
            self._look()
            self._keep_driver()
            self._keep_nodes()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))

    def _measure(self) -> tuple[int, int]:
        """Bytes that witnesses have written, and rows."""
        return sum(path.stat().st_size for path in self.probe.glob("*.log")), len(self.rows_seen)

    def _look(self) -> None:
        began = time.monotonic()
        if began < self._look_next:
            return
        files = self.place.files()
        self._look_next = time.monotonic() + max(0.25, 5 * (time.monotonic() - began))
        for path, stamp in files.items():
            if path.startswith("rows/") and path.endswith(".parquet"):
                key = path.removeprefix("rows/").removesuffix(".parquet")
                self.rows_seen.setdefault(key, self.now())
                if self._stamps.setdefault(key, stamp) != stamp:
                    self.replaced.add(key)
            elif (
                path.startswith("failures/")
                and path.endswith(".json")
                and path not in self.failures
            ):
                self.failures.add(path)
                log.info(
                    "    FAILED: %s",
                    " ".join(self.place.read(path).decode(errors="replace").split())[:1500],
                )
        if (progress := self._measure()) != self._progress:
            self._progress, self._moved_at = progress, time.monotonic()
        elif time.monotonic() - self._moved_at > PATIENCE:
            raise Stalled(
                f"no progress in {PATIENCE:.0f} s; the driver's last words: "
                f"{self.driver.last_words()}"
            )

    def _keep_driver(self) -> None:
        code = self.driver.ended()
        if code is not None:
            log.info("    the driver ended with %d: %s", code, self.driver.last_words())
            self._done = code == 0
            if self._done and self._grows:
                self.study["seeds"].append(max(self.study["seeds"]) + 1)
                self.write()
                log.info(
                    "    all done before all faults: the study grows to %d seeds",
                    len(self.study["seeds"]),
                )
                self._done = False
        if not self._done and not self._down and self.driver.rested(0.5):
            self.driver.start(*(["--retry-failed"] if self.failures else []))

    def _keep_nodes(self) -> None:
        if self._down:
            return
        if (self._adding and self._adding.is_alive()) or time.monotonic() < self._count_next:
            return
        self._count_next = time.monotonic() + 0.5
        if len(self.living_nodes()) < self.workers:
            self._adding = threading.Thread(target=self._add_node, daemon=True)
            self._adding.start()

    def _add_node(self) -> None:
        try:
            self.nodes.add()
        except RuntimeError as error:
            log.info("    a new node did not start, trying again: %s", error)

    def close(self) -> list[str]:
        """Wait until nothing of the study runs any more; returns what still does, processes and
        actors."""
        until = time.monotonic() + 60
        while True:
            trials = [
                process.words
                for process in self.processes()
                if process.is_trial or "full_study" in process.words
            ]
            left = trials + self.nodes.actors()
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.2)
