"""The table of a campaign: what faults of each kind cost, as plain text and as Markdown."""

from collections.abc import Sequence
from statistics import median

from tests.chaos.faults import KINDS, Fault
from tests.chaos.verdict import Claim, Hit

HEAD = (
    "Fault",
    "n",
    "Trials hit",
    "Went on",
    "s to work again, median",
    "max",
    "s to go on, median",
    "max",
    "Batches repeated, median",
    "max",
    "s of work lost, max",
)


def lines(faults: Sequence[Fault], hits: Sequence[Hit]) -> list[tuple[str, ...]]:
    """One line of cells per kind of fault, and one for all."""
    found = []
    for kind in (*KINDS, None):
        count = sum(kind in (fault.planned.kind, None) for fault in faults)
        if count:
            found.append(
                _line(
                    kind or "all",
                    count,
                    [hit for hit in hits if kind in (hit.fault.planned.kind, None)],
                )
            )
    return found


def _line(title: str, count: int, hits: list[Hit]) -> tuple[str, ...]:
    went_on = [hit.recovered for hit in hits if hit.recovered is not None]
    return (
        title,
        str(count),
        str(len(hits)),
        str(len(went_on)),
        *_middle([hit.worked for hit in hits if hit.worked is not None], ".1f"),
        *_middle(went_on, ".1f"),
        *_middle([hit.repeated for hit in hits], ".0f"),
        f"{max(hit.lost for hit in hits):.2f}" if hits else "-",
    )


def _middle(values: Sequence[float], form: str) -> tuple[str, str]:
    """Median and largest value."""
    return (format(median(values), form), format(max(values), form)) if values else ("-", "-")


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """The lines as a Markdown table that also reads as plain text."""
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(HEAD, *rows, strict=True)]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            [cells[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
        )
        + " |"
        for cells in (HEAD, rule, *rows)
    )


def verdict(claims: Sequence[Claim]) -> str:
    """One line per claim, and the exceptions below those that do not hold."""
    told = []
    for claim in claims:
        told.append(f"{'ok  ' if claim.holds else 'FAIL'} {claim.line}")
        told += [] if claim.holds else [f"       {exception}" for exception in claim.exceptions]
    return "\n".join(told)
