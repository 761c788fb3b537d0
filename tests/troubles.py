"""The table of troubles in docs/running.md, held against what is really printed.

A test that brings a trouble about calls `check_trouble` with the output. tests/clusters/
test_running.py sees to it that every message of every row is printed in some test.
"""

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "running.md"


def read_troubles() -> dict[str, list[str]]:
    """By trouble, as the first column has it but without its marks, the messages in the second;
    none where the study says nothing."""
    table = GUIDE.read_text().partition("| trouble |")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    return {
        cells[0].removeprefix("| ").replace("`", ""): re.findall(r"`([^`]+)`", cells[1])
        for cells in rows
    }


def find_trouble(start: str) -> str:
    """The one trouble that begins so."""
    (found,) = (trouble for trouble in read_troubles() if trouble.startswith(start))
    return found


def check_trouble(start: str, printed: str, *numbers: int) -> None:
    """Pass if what was printed holds the messages of the row of a trouble, in their order, `…`
    standing for anything; or no error and no warning, where the row has none.

    Args:
        start: how the trouble begins.
        numbers: of its messages, counted from 0, if not all were brought about.
    """
    messages = read_troubles()[find_trouble(start)]
    line = " ".join(printed.split())
    if not messages:
        assert not re.search(r"^(error|warning)\b|Traceback", printed, re.MULTILINE), printed
        return
    wanted = [messages[number] for number in numbers] or messages
    pattern = ".*".join(
        ".*?".join(map(re.escape, " ".join(message.split()).split("…"))) for message in wanted
    )
    assert re.search(pattern, line), f"docs/running.md says {wanted}, but printed was: {line}"
