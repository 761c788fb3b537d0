"""Mean accuracies of methods, or of a search's candidates, as the live view shows them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from rich.table import Table
from rich.text import Text

SPARSITIES = 7  # columns, the highest
OWN = -1.0  # where the method's own rule decides how much is pruned

Line = tuple[str, str]  # a setting of the study, and a name
Cells = dict[Line, dict[float, dict[str, float]]]  # by sparsity and trial


class Means:
    """Top-1 in percent by setting, name and sparsity, a value for each trial; on the validation and
    the test split."""

    def __init__(self) -> None:
        self._lines: dict[Line, None] = {}  # in order
        self._splits: dict[str, Cells] = {"validation": _cells(), "test": _cells()}

    def put(
        self, key: str, name: str, levels: Iterable[Mapping[str, Any]], *, setting: str = ""
    ) -> None:
        """Take in the levels of one trial, in place of what it had before; of stages at a sparsity
        the last counts."""
        for sparsity, row in {row["sparsity"]: row for row in levels}.items():
            line, at = (setting, name), OWN if sparsity is None else sparsity
            self._lines[line] = None
            for split, column in (("validation", "val_top1"), ("test", "test_top1")):
                if row.get(column) is not None:
                    self._splits[split][line][at][key] = float(row[column])

    def draw(self, rows: int) -> tuple[Text, Table] | None:
        """A title and, in about `rows` rows, the best names with their means over seeds, the best
        of a setting and sparsity in bold; None before the first.

        Means are of the validation split where every name has it, else all are of the test split.
        """
        if not self._lines:
            return None
        split = (
            "validation"
            if all(line in self._splits["validation"] for line in self._lines)
            else "test"
        )
        values = self._splits[split]
        means = {
            line: {at: fmean(v.values()) for at, v in values.get(line, {}).items()}
            for line in self._lines
        }
        columns = sorted({at for one in means.values() for at in one})[-SPARSITIES:]
        counts = {len(found) for one in values.values() for found in one.values()} or {0}
        most = f"{max(counts)} seed{'' if max(counts) == 1 else 's'}"
        seeds = f"{min(counts)} to {most}" if len(counts) > 1 else most
        title = Text(
            f"{split} top-1 in %, mean so far ({seeds}), best at a sparsity in bold", style="dim"
        )
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("at sparsity", no_wrap=True, overflow="ellipsis", max_width=46)
        for at in columns:
            table.add_column("own" if at == OWN else f"{at:g}", justify="right", no_wrap=True)
        _fill(table, means, columns, rows)
        return title, table


def _cells() -> Cells:
    return defaultdict(lambda: defaultdict(dict))


def _fill(
    table: Table, means: Mapping[Line, Mapping[float, float]], columns: list[float], rows: int
) -> None:
    """The best names of each setting, below its heading where there are several; then how many more
    there are."""
    settings = list(dict.fromkeys(setting for setting, _ in means))
    several = len(settings) > 1
    settings = settings[: max(1, rows // 2)]  # a heading and one name of each must fit
    each, shown = rows // len(settings) - several, 0
    for setting in settings:
        ours = {name: one for (of, name), one in means.items() if of == setting}
        if several:
            table.add_row(Text(setting, style="dim"))
        for name in sorted(ours, key=lambda name: _rank(ours[name], columns))[:each]:
            table.add_row(
                Text(name),
                *(
                    _cell(ours[name].get(at), [one.get(at) for one in ours.values()])
                    for at in columns
                ),
            )
            shown += 1
    if len(means) > shown:
        table.add_row(f"and {len(means) - shown} more")


def _rank(means: Mapping[float, float], columns: list[float]) -> tuple[float, ...]:
    """Best first at the highest sparsity, then at the next; what has no number there comes after.
    """
    return tuple(-means.get(at, -1.0) for at in reversed(columns))


def _cell(value: float | None, column: list[float | None]) -> Text:
    """A mean, in bold where it is the best of several at its sparsity."""
    if value is None:
        return Text()
    known = [one for one in column if one is not None]
    best = len(known) > 1 and f"{value:.2f}" == f"{max(known):.2f}"
    return Text(f"{value:.2f}", style="bold" if best else "")
