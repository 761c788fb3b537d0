"""The error of a user: one line that says the rule, the value and the nearest fix; every command
exits with 2 on it.

It is on the lowest layer, because networks and methods raise it, too. Imports nothing but the
standard library, and is read by a Python that is too old for all else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

LONGEST = 1000  # characters of a line; a list of all methods takes 400


class UserError(ValueError):
    """Something the user can put right; printed as one line, without a traceback.

    What it quotes may come from a file of somebody else's: it cannot break the line or steer the
    terminal.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """One line that is safe to print: control and direction characters as their escapes, the middle
    of a long text left out."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant, upper or lower case: the most similar one, else one that
    begins with what was given; None where there is none."""
    by_lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    if not near and len(name) > 1:
        near = [other for other in by_lower if other.startswith(name.lower())]
    return by_lower[near[0]] if near else None


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error line: the name that was probably meant, or all there are."""
    if near := find_nearest(name, known):
        return f"; did you mean '{near}'?"
    return f"; there are: {', '.join(known)}" if known else ""


def list_some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are: `a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def short(value: Any) -> str:
    """A value as it is quoted in an error line, 60 characters at most."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out an integer of more than 4,300 digits
        return (
            "a number of thousands of digits"
            if isinstance(value, int)
            else "something that holds a number too long"
        )
    return text if len(text) <= 60 else text[:57] + "..."
