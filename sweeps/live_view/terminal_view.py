"""The live view of a run: `--watch`, on a terminal. Lines about single trials scroll by above it,
as without it."""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live as Region
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.live_view.mean_accuracy import Means
from sweeps.live_view.setting_names import find_settings
from sweeps.planning.plan import Plan
from sweeps.running.observer import Watcher
from sweeps.running.progress import duration
from sweeps.running.snapshot import Look
from trainables.storage import parquet_tables
from trainables.storage.store import Store

PER_SECOND = 2  # drawings
CLUSTER_SECONDS = 5.0  # between two looks at the cluster
BEST = 12  # methods, or candidates, in the table of accuracies
TEXTS = ("running", "next step")
COLUMNS = (
    "running",
    "sparsity",
    "seed",
    "next step",
    "level",
    "epochs",
    "train loss",
    "val. top-1 %",
    "time",
)
WIDE = {
    "level": 100,
    "train loss": 100,
    "epochs": 70,
    "seed": 70,
}  # the width from which on there is room for a column


@dataclass
class Running:
    """What is known of a trial that runs."""

    label: str
    sparsity: str
    seed: int
    since: float
    doing: str = "starting"
    level: str = ""
    epochs: str = ""
    loss: float | None = None
    top1: float | None = None


class Live(Watcher):
    """A region at the bottom of the terminal, drawn anew twice a second while it is entered.

    Args:
        title: what runs.
        look: how it stands.
        slots: how many trials the cluster can hold at once, and what it has, in words.
        footer: lines below all, e.g. where the report is.
        name: what a trial is called in the table of accuracies, by its key and spec.
        total: epochs a trial trains, by key; 0 where that is not known.
    """

    def __init__(
        self,
        title: str,
        *,
        look: Callable[[], Look],
        name: Callable[[str, dict[str, Any]], str],
        slots: Callable[[], tuple[int, str]] = lambda: (0, ""),
        total: Callable[[str], int] = lambda key: 0,
        footer: Iterable[str] = (),
        console: Console | None = None,
    ) -> None:
        self.title, self.look, self.slots, self.footer = title, look, slots, list(footer)
        self._name, self._total = name, total
        self.console = console or Console(file=sys.stdout, force_terminal=True, highlight=False)
        self._lock = threading.RLock()
        self._running: dict[str, Running] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, str] = {}  # by key, where the study has several
        self._means = Means()
        self._stands = Look(0, None, 0)
        self._cluster, self._asked = (0, ""), -math.inf
        self._began = time.monotonic()
        self._region = Region(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )

    def __reduce__(self) -> Any:  # Tune writes what it is given to a file that nobody reads
        return str, ("live",)

    def __enter__(self) -> "Live":
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
        """A trial begins."""
        ends = f"{spec['sparsities'][-1]:g}" if spec["sparsities"] else "own"
        with self._lock:
            self._specs[key] = spec
            name, setting = self._name(key, spec), self._settings.get(key)
            label = f"{name}, {setting}" if setting else name
            self._running[key] = Running(label, ends, spec["seed"], time.monotonic())
        self._update()

    def moved(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is."""
        with self._lock:
            if shown := self._running.get(key):
                total = self._total(key)
                shown.epochs = (
                    f"{result.get('epochs', 0)}/{total}" if total else str(result.get("epochs", ""))
                )
                shown.level = str(result.get("level") or "")
                shown.doing = str(result.get("label") or result.get("status"))
                for row in result.get("curve", ()):
                    shown.loss = row["loss"] if row["split"] == "train" else shown.loss
                    shown.top1 = row["top1"] if row["split"] == "validation" else shown.top1
        self._update()

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done."""
        self.learn(key, self._specs.get(key, {}), result.get("levels", []))
        self.left(key)

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""
        self.left(key)

    def left(self, key: str) -> None:
        """A trial does not run any more."""
        with self._lock:
            self._running.pop(key, None)
        self._update()

    def learn(self, key: str, spec: dict[str, Any], levels: Iterable[dict[str, Any]]) -> None:
        """Take in the accuracies of a trial."""
        with self._lock:
            self._means.put(key, self._name(key, spec), levels, setting=self._settings.get(key, ""))

    def learn_rows(self, store: Store, plan: Plan, keys: Iterable[str]) -> None:
        """Take in the settings of a study, and the accuracies of trials that were done in earlier
        launches."""
        wanted, self._settings = list(keys), find_settings(plan)

        def read(key: str) -> list[dict[str, Any]]:
            try:
                return list(
                    parquet_tables.decode(
                        "rows", store.read(f"rows/{key}.parquet"), key=key
                    ).to_pylist()
                )
            except (FileNotFoundError, parquet_tables.DamagedTable):
                return []

        for key, rows in zip(wanted, store.spread(read, wanted), strict=True):
            self.learn(key, plan.by_key[key].spec.model_dump(), rows)

    def _update(self) -> None:
        now = time.monotonic()
        if now - self._asked >= CLUSTER_SECONDS:
            self._asked, self._cluster = now, self.slots()
        with self._lock:
            self._stands = self.look()

    # What is shown

    def render(self) -> RenderableType:
        """The view as it is now; it fits the terminal's height."""
        with self._lock:
            room = self.console.height - 10 - len(self.footer)
            best = self._means.draw(min(BEST, max(2, (room - 3) // 2)))
            rows = max(2, room - (best[1].row_count + 3 if best else 0))
            parts: list[RenderableType] = [
                Text("─" * self.console.width, style="dim"),
                *self._head(),
            ]
            if self._running:
                parts.append(Padding(self._table(rows), (1, 0, 0, 0)))
            if best:
                parts += [Text(), *best]
            parts.append(Text())
            parts += [Text(line, style="dim", overflow="fold") for line in self.footer]
        return Group(*parts)

    def _head(self) -> Iterable[RenderableType]:
        at, running = self._stands, len(self._running)
        left = None if at.total is None else max(0, at.total - at.ended - running)
        counts = [f"{at.ended - at.failed} done", f"{running} running", f"{at.failed} failed"]
        counts += [f"{left} left"] if left is not None else []
        times = f"{duration(time.monotonic() - self._began)} so far"
        times += f", about {duration(at.eta)} to go" if at.eta is not None else ""
        first = Text(self.title, style="bold")
        first.append(f"   {', '.join(counts)}   {times}", style="not bold")
        yield first
        if at.total:
            bar = ProgressBar(
                at.total, at.ended, width=min(60, self.console.width), complete_style="green"
            )
            yield Padding(bar, 0)  # a bar does not end its line
        if self._cluster[1]:
            slots, has = self._cluster
            yield Text(
                f"{running} of {max(slots, running)} places for trials in use; the cluster has {has}"
            )
        if at.spent:
            yield Text(f"spent: {at.spent}")

    def _table(self, rows: int) -> Table:
        names = [name for name in COLUMNS if self.console.width >= WIDE.get(name, 0)]
        now = time.monotonic()
        shown = list(self._running.values())
        cells = [
            {
                "running": one.label,
                "sparsity": one.sparsity,
                "seed": str(one.seed),
                "next step": one.doing,
                "level": one.level,
                "epochs": one.epochs,
                "train loss": "" if one.loss is None else f"{one.loss:.3f}",
                "val. top-1 %": "" if one.top1 is None else f"{one.top1:.2f}",
                "time": duration(now - one.since),
            }
            for one in shown[:rows]
        ]
        # Names and steps give way to numbers, which are of no use cut short.
        widths = {name: max([len(name), *(len(row[name]) for row in cells)]) for name in names}
        free = (
            self.console.width
            - 2 * len(names)
            - sum(widths[name] for name in names if name not in TEXTS)
        )
        widths["next step"] = min(widths["next step"], max(9, free // 2))
        widths["running"] = min(widths["running"], max(9, free - widths["next step"]))
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in names:
            justify: Literal["left", "right"] = "left" if name in TEXTS else "right"
            table.add_column(
                name, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[name]
            )
        for row in cells:
            table.add_row(*(Text(row[name]) for name in names))
        if len(shown) > rows:
            table.add_row(f"and {len(shown) - rows} more")
        return table
