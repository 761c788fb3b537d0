"""Mean accuracies of methods, or of a search's candidates, as the live view shows them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

SPARSITIES = 7  # columns, the highest
OWN = -1.0  # where the method's own rule decides how much is pruned

Cells = dict[str, dict[float, list[float]]]


class Means:
    """Top-1 in percent by name and sparsity, one value for each seed; on the validation and on the test split."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}  # in order
        self._splits: dict[str, Cells] = {"validation": _cells(), "test": _cells()}

    def put(self, name: str, levels: Iterable[Mapping[str, Any]]) -> None:
        """Take in the levels of one trial; of several stages at a sparsity the last counts."""
        for sparsity, row in {row["sparsity"]: row for row in levels}.items():
            self._names[name] = None
            for split, column in (("validation", "val_top1"), ("test", "test_top1")):
                if row.get(column) is not None:
                    self._splits[split][name][OWN if sparsity is None else sparsity].append(float(row[column]))

    def draw(self, rows: int) -> tuple[Text, Table] | None:
        """A title and the best `rows` names with their means over seeds, the best of a sparsity in bold; None before
        the first.

        Means are of the validation split where every name has it, else all are of the test split.
        """
        if not self._names:
            return None
        split = "validation" if all(name in self._splits["validation"] for name in self._names) else "test"
        values = self._splits[split]
        means = {name: {at: sum(v) / len(v) for at, v in values.get(name, {}).items()} for name in self._names}
        columns = sorted({at for one in means.values() for at in one})[-SPARSITIES:]
        counts = {len(found) for one in values.values() for found in one.values()} or {0}
        most = f"{max(counts)} seed{'' if max(counts) == 1 else 's'}"
        seeds = f"{min(counts)} to {most}" if len(counts) > 1 else most
        title = Text(f"{split} top-1 in %, mean so far ({seeds}), best at a sparsity in bold", style="dim")
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("at sparsity", no_wrap=True, overflow="ellipsis", max_width=46)
        for at in columns:
            table.add_column("own" if at == OWN else f"{at:g}", justify="right", no_wrap=True)
        ranked = sorted(means, key=lambda name: _rank(means[name], columns))
        for name in ranked[:rows]:
            table.add_row(
                Text(name), *(_cell(means[name].get(at), [one.get(at) for one in means.values()]) for at in columns)
            )
        if len(ranked) > rows:
            table.add_row(f"and {len(ranked) - rows} more")
        return title, table


def _cells() -> Cells:
    return defaultdict(lambda: defaultdict(list))


def _rank(means: Mapping[float, float], columns: list[float]) -> tuple[float, ...]:
    """Best first at the highest sparsity, then at the next; what has no number there comes after."""
    return tuple(-means.get(at, -1.0) for at in reversed(columns))


def _cell(value: float | None, column: list[float | None]) -> Text:
    """A mean, in bold where it is the best of several at its sparsity."""
    if value is None:
        return Text()
    known = [one for one in column if one is not None]
    best = len(known) > 1 and f"{value:.2f}" == f"{max(known):.2f}"
    return Text(f"{value:.2f}", style="bold" if best else "")
