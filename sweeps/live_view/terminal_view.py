"""The live view of a run on a terminal: `--watch`. Lines about single trials scroll by above it, as
without it."""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import rich.live
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from sweeps.live_view.mean_accuracy import MeanAccuracies
from sweeps.live_view.running_trials import RunningTrial, draw_running_trials
from sweeps.live_view.setting_names import name_settings
from sweeps.planning.plan import Plan
from sweeps.running.observer import Observer
from sweeps.running.progress import duration
from sweeps.running.snapshot import Snapshot
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store

PER_SECOND = 2  # drawings
CLUSTER_SECONDS = 5.0  # between two queries of the cluster
BEST = 12  # methods, or candidates, in the table of accuracies


class TerminalView(Observer):
    """A region at the bottom of the terminal, drawn anew twice a second while it is entered.

    Args:
        title: what runs.
        snapshot: how the run stands.
        slots: how many trials the cluster can run at once, and what it has, in words.
        footer: lines below all, e.g. where the report is.
        name: the name of a trial in the table of accuracies, by its key and spec.
        total: epochs that a trial trains, by key; 0 where that is not known.
    """

    def __init__(
        self,
        title: str,
        *,
        snapshot: Callable[[], Snapshot],
        name: Callable[[str, dict[str, Any]], str],
        slots: Callable[[], tuple[int, str]] = lambda: (0, ""),
        total: Callable[[str], int] = lambda key: 0,
        footer: Iterable[str] = (),
        console: Console | None = None,
    ) -> None:
        self.title, self.snapshot, self.slots = title, snapshot, slots
        self.footer, self._name, self._total = list(footer), name, total
        self.console = console or Console(file=sys.stdout, force_terminal=True, highlight=False)
        self._lock = threading.RLock()
        self._running: dict[str, RunningTrial] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, str] = {}  # by key, where the study has several
        self._accuracies = MeanAccuracies()
        self._stands = Snapshot(0, None, 0)
        self._cluster, self._cluster_read_at = (0, ""), -math.inf
        self._began = time.monotonic()
        self._region = rich.live.Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> "TerminalView":
        self._update()
        self._region.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._region.stop()

    # What happens

    def started(self, key: str, spec: dict[str, Any]) -> None:
        """A trial starts."""
        sparsity = f"{spec['sparsities'][-1]:g}" if spec["sparsities"] else "own"
        with self._lock:
            self._specs[key] = spec
            name, setting = self._name(key, spec), self._settings.get(key)
            label = f"{name}, {setting}" if setting else name
            self._running[key] = RunningTrial(label, sparsity, spec["seed"], time.monotonic())
        self._update()

    def reported(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is."""
        with self._lock:
            if trial := self._running.get(key):
                total = self._total(key)
                trial.epochs = (
                    f"{result.get('epochs', 0)}/{total}" if total else str(result.get("epochs", ""))
                )
                trial.level = str(result.get("level") or "")
                trial.next_step = str(result.get("label") or result.get("status"))
                for row in result.get("curve", ()):
                    trial.loss = row["loss"] if row["split"] == "train" else trial.loss
                    trial.top1 = row["top1"] if row["split"] == "validation" else trial.top1
        self._update()

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done."""
        self.add_accuracies(key, self._specs.get(key, {}), result.get("levels", []))
        self.interrupted(key)

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""
        self.interrupted(key)

    def interrupted(self, key: str) -> None:
        """A trial does not run any more."""
        with self._lock:
            self._running.pop(key, None)
        self._update()

    def add_accuracies(
        self, key: str, spec: dict[str, Any], levels: Iterable[dict[str, Any]]
    ) -> None:
        """Add the accuracies of a trial."""
        name, setting = self._name(key, spec), self._settings.get(key, "")
        with self._lock:
            self._accuracies.add(key, name, levels, setting=setting)

    def add_finished_trials(self, store: Store, plan: Plan, keys: Iterable[str]) -> None:
        """Add the settings of a study, and the accuracies of trials that were done in earlier
        launches."""
        wanted, self._settings = list(keys), name_settings(plan)

        def read_rows(key: str) -> list[dict[str, Any]]:
            try:
                return list(parquet_tables.read_table(store, layout.ROWS, key).to_pylist())
            except (FileNotFoundError, parquet_tables.DamagedTable):
                return []

        for key, rows in zip(wanted, store.parallel_map(read_rows, wanted), strict=True):
            self.add_accuracies(key, plan.by_key[key].spec.model_dump(), rows)

    def _update(self) -> None:
        now = time.monotonic()
        if now - self._cluster_read_at >= CLUSTER_SECONDS:
            self._cluster_read_at, self._cluster = now, self.slots()
        with self._lock:
            self._stands = self.snapshot()

    # What is shown

    def render(self) -> RenderableType:
        """The view as it is now; it fits the terminal's height."""
        with self._lock:
            width = self.console.width
            height = self.console.height - 10 - len(self.footer)
            best = self._accuracies.draw(min(BEST, max(2, (height - 3) // 2)))
            rows = max(2, height - (best[1].row_count + 3 if best else 0))
            parts: list[RenderableType] = [Text("─" * width, style="dim"), *self._draw_head()]
            if self._running:
                trials = list(self._running.values())
                table = draw_running_trials(trials, rows=rows, width=width)
                parts.append(Padding(table, (1, 0, 0, 0)))
            if best:
                parts += [Text(), *best]
            parts.append(Text())
            parts += [Text(line, style="dim", overflow="fold") for line in self.footer]
        return Group(*parts)

    def _draw_head(self) -> Iterable[RenderableType]:
        now, running = self._stands, len(self._running)
        left = None if now.total is None else max(0, now.total - now.ended - running)
        counts = [f"{now.ended - now.failed} done", f"{running} running", f"{now.failed} failed"]
        counts += [f"{left} left"] if left is not None else []
        times = f"{duration(time.monotonic() - self._began)} so far"
        times += f", about {duration(now.eta)} to go" if now.eta is not None else ""
        first = Text(self.title, style="bold")
        first.append(f"   {', '.join(counts)}   {times}", style="not bold")
        yield first
        if now.total:
            width = min(60, self.console.width)
            bar = ProgressBar(now.total, now.ended, width=width, complete_style="green")
            yield Padding(bar, 0)  # a bar does not end its line
        if self._cluster[1]:
            slots, has = self._cluster
            places = f"{running} of {max(slots, running)} places for trials in use"
            yield Text(f"{places}; the cluster has {has}")
        if now.spent:
            yield Text(f"spent: {now.spent}")
