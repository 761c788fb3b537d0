"""A YAML document that somebody wrote: reading it runs nothing, ends soon, and refuses what YAML
silently takes.

YAML lets a mapping name a key twice (the first one is lost) and lets a few lines of aliases unfold
to gigabytes. Both are errors here. Every fault, whatever the parser makes of it, is one exception
with one line.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from pruning.user_error import UserError

BYTES = 1_000_000  # of a file; a study takes a few thousand
VALUES = 100_000  # of a document, every alias counted as what it stands for

MERGE = "tag:yaml.org,2002:merge"


# What the parser says where a line opens something that no later one closes: that line is to mend.
_OPENED = ("a simple key", "a quoted scalar", "a flow sequence", "a flow mapping")
_HINTS = {
    "'\\t'": "; indent by spaces",
    "mapping values are not allowed": "; indent keys that belong together alike, and put a text "
    "with ': ' in it in quotes",
    "could not find expected ':'": "; a space must follow the colon",
    "that cannot start any token": "; put a text that begins with it in quotes",
}


class _Loader(yaml.SafeLoader):
    """YAML's plain values, except that 2:4 is a text, as in YAML 1.2: YAML 1.1 reads it as a number
    of base 60, 124."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> Any:
        """The tag of a value."""
        if (
            kind is yaml.ScalarNode
            and implicit[0]
            and re.fullmatch(r"[-+]?\d[\d_]*(:\d+)+(\.\d*)?", value or "")
        ):
            return "tag:yaml.org,2002:str"
        return super().resolve(kind, value, implicit)


def parse_yaml(text: str | bytes, *, large: bool = False) -> Any:
    """The value of a document; None where it is empty.

    Args:
        large: take a hundred times as much, e.g. what the project wrote itself.

    Raises:
        UserError: not YAML, a tag that stands for code, a key named twice, or too much in it.
    """
    factor = 100 if large else 1
    if len(text) > factor * BYTES:
        raise UserError(f"it has {len(text):,} bytes, which is more than {factor * BYTES:,}")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, factor * VALUES)
        return loader.construct_document(node)
    except UserError:
        raise
    except RecursionError:
        raise UserError("it is nested too deeply") from None
    except (
        Exception
    ) as error:  # a value that its tag does not fit fails in as many ways as there are tags
        raise UserError(_reason(error)) from None


def read_text(path: str | Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        UserError: more than `BYTES`, not UTF-8, or not a file with an end, such as a pipe or a
            device.
        OSError: it cannot be read.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a zero byte in the name, half of a surrogate pair
        raise FileNotFoundError(2, f"no file can have this name ({error})") from None
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise UserError("it is a pipe or a device; write it to a file")
    if status.st_size > BYTES:
        raise UserError(f"it has {status.st_size:,} bytes, which is more than {BYTES:,}")
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("it is not UTF-8 text; save it as UTF-8") from None


def _count_values(node: yaml.Node, known: dict[int, int], most: int) -> int:
    """How many values a node unfolds to.

    Raises:
        UserError: more than `most`, a node within itself, or a key named twice.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise UserError(
                f"line {_line_number(node)}: an alias stands for something that contains it"
            )
        return known[id(node)]
    known[id(node)] = 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    total = 1 + sum(_count_values(part, known, most) for part in parts)
    if total > most:
        raise UserError(f"line {_line_number(node)}: it holds more than {most:,} values")
    known[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
            if (key.tag, key.value) in seen:
                raise UserError(f"line {_line_number(key)}: the key '{key.value}' is there twice")
            seen.add((key.tag, key.value))


def _line_number(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _reason(error: Exception) -> str:
    """What is wrong and where, without the parser's picture of the line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        text = ", ".join(part for part in (error.context, error.problem) if part)
        opened = error.context_mark if any(part in text for part in _OPENED) else None
        mark = opened or error.problem_mark
        hint = next((hint for part, hint in _HINTS.items() if part in text), "")
        return " ".join(f"line {mark.line + 1}: {text}{hint}".split())[:300]
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())[:200]
    detail = f" ({str(error).split(';')[0]})" if isinstance(error, ValueError) else ""
    return " ".join(f"a value does not fit its tag{detail}".split())[:200]
