"""Mean accuracies of methods, or of a search's candidates, as the live view shows them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from rich.table import Table
from rich.text import Text

SPARSITIES = 7  # columns, the highest

Sparsity = float | None  # None where the method's own rule decides how much is pruned
Row = tuple[str, str]  # of the table: a setting of the study, and a name
Accuracies = dict[Row, dict[Sparsity, dict[str, float]]]  # by sparsity and by key of the trial


class MeanAccuracies:
    """Top-1 in percent by setting, name and sparsity, a value for each trial; on the validation and
    the test split."""

    def __init__(self) -> None:
        self._rows: dict[Row, None] = {}  # in order
        self._splits: dict[str, Accuracies] = {"validation": _empty(), "test": _empty()}

    def add(
        self, key: str, name: str, levels: Iterable[Mapping[str, Any]], *, setting: str = ""
    ) -> None:
        """Add the levels of one trial, in place of what it had before. Of several stages at a
        sparsity the last counts."""
        row = (setting, name)
        for sparsity, level in {level["sparsity"]: level for level in levels}.items():
            self._rows[row] = None
            for split, column in (("validation", "val_top1"), ("test", "test_top1")):
                if level.get(column) is not None:
                    self._splits[split][row][sparsity][key] = float(level[column])

    def draw(self, rows: int) -> tuple[Text, Table] | None:
        """A title and, in about `rows` rows, the best names with their means over seeds, the best
        of a setting and sparsity in bold; None before the first.

        Means are of the validation split where every name has it, else all are of the test split.
        """
        if not self._rows:
            return None
        validated = all(row in self._splits["validation"] for row in self._rows)
        split = "validation" if validated else "test"
        values = self._splits[split]
        means = {
            row: {sparsity: fmean(by_key.values()) for sparsity, by_key in values[row].items()}
            if row in values
            else {}
            for row in self._rows
        }
        known = {sparsity for by_sparsity in means.values() for sparsity in by_sparsity}
        columns = sorted(known, key=_order)[-SPARSITIES:]
        mean = f"mean so far ({_count_seeds(values)})"
        title = f"{split} top-1 in %, {mean}, best at a sparsity in bold"
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("at sparsity", no_wrap=True, overflow="ellipsis", max_width=46)
        for sparsity in columns:
            heading = "own" if sparsity is None else f"{sparsity:g}"
            table.add_column(heading, justify="right", no_wrap=True)
        _fill(table, means, columns, rows)
        return Text(title, style="dim"), table


def _empty() -> Accuracies:
    return defaultdict(lambda: defaultdict(dict))


def _order(sparsity: Sparsity) -> float:
    """The place of a sparsity among others: what the method decides comes first."""
    return -1.0 if sparsity is None else sparsity


def _count_seeds(values: Accuracies) -> str:
    counts = {len(by_key) for cells in values.values() for by_key in cells.values()} or {0}
    most = f"{max(counts)} seed{'' if max(counts) == 1 else 's'}"
    return f"{min(counts)} to {most}" if len(counts) > 1 else most


def _fill(
    table: Table,
    means: Mapping[Row, Mapping[Sparsity, float]],
    columns: list[Sparsity],
    rows: int,
) -> None:
    """Add the best names of each setting, below its heading where there are several; then how many
    more there are."""
    settings = list(dict.fromkeys(setting for setting, _ in means))
    several = len(settings) > 1
    settings = settings[: max(1, rows // 2)]  # a heading and one name of each must fit
    names_each, shown = rows // len(settings) - several, 0
    for setting in settings:
        by_name = {name: means[of, name] for of, name in means if of == setting}
        if several:
            table.add_row(Text(setting, style="dim"))
        best_first = sorted(by_name, key=lambda name: _rank(by_name[name], columns))
        for name in best_first[:names_each]:
            cells = [
                _cell(by_name[name].get(sparsity), [row.get(sparsity) for row in by_name.values()])
                for sparsity in columns
            ]
            table.add_row(Text(name), *cells)
            shown += 1
    if len(means) > shown:
        table.add_row(f"and {len(means) - shown} more")


def _rank(means: Mapping[Sparsity, float], columns: list[Sparsity]) -> tuple[float, ...]:
    """Best first at the highest sparsity, then at the next; without a number there, last."""
    return tuple(-means.get(sparsity, -1.0) for sparsity in reversed(columns))


def _cell(value: float | None, column: list[float | None]) -> Text:
    """A mean, in bold where it is the best of several at its sparsity."""
    if value is None:
        return Text()
    known = [mean for mean in column if mean is not None]
    best = len(known) > 1 and f"{value:.2f}" == f"{max(known):.2f}"
    return Text(f"{value:.2f}", style="bold" if best else "")
