"""The words that sentences of the summary share: names, counts and sparsities in a list."""

from collections.abc import Sequence

from analysis.series import format_sparsity

NAMED = 4  # names that a sentence lists; more are counted


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 trial`, `2 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name_others(part: int, others: int) -> str:
    """So many of the other methods: `1 of 3 other methods`, `all 2 other methods`; of a single one
    `the other method`."""
    if part == 0:
        return "no other method"
    if part == others:
        return "the other method" if others == 1 else f"all {others:,} other methods"
    return f"{part:,} of {others:,} other methods"


def list_names(names: Sequence[str], *, most: int | None = NAMED) -> str:
    """Names as they are listed in a sentence; where there are more than `most`, the rest is
    counted."""
    if most is not None and len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def list_sparsities(sparsities: Sequence[float]) -> str:
    """Sparsities as `50, 90 and 95 %`."""
    return f"{list_names([format_sparsity(sparsity) for sparsity in sparsities], most=None)} %"


def spread_evenly(values: Sequence[float], most: int) -> set[float]:
    """At most so many of some values, evenly spread, both ends among them."""
    if len(values) <= most:
        return set(values)
    return {values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)}
