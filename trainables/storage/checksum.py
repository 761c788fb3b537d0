"""A note and a digest inside a Parquet file, between its pages and its footer, where no reader of
Parquet looks.

The digest is the SHA-256 of all else. The checksums that Parquet knows are those of pages: they
leave the footer out, and to check them a file has to be decoded, which takes forty times as long.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MARK = b"sha-256:"
COUNT = 4  # bytes that hold the length of the note, before the mark


class BrokenSeal(ValueError):
    """A file that is not what was sealed."""


def seal(content: bytes, note: Mapping[str, object]) -> bytes:
    """A Parquet file with a note, which JSON can express, and a digest in it; all else stays as it
    is."""
    at, told = _footer(content), json.dumps(note).encode()
    body, footer = content[:at] + told + len(told).to_bytes(COUNT, "little"), content[at:]
    return body + MARK + hashlib.sha256(body + footer).digest() + footer


def read_note(content: bytes) -> dict[str, Any]:
    """The note of a sealed file; an empty one where there is no seal, or where just its mark or
    place is damaged.

    Raises:
        BrokenSeal: the file and its digest do not match.
    """
    at = _footer(content)
    end = at - hashlib.sha256().digest_size - len(MARK)
    if end < COUNT or content[end : end + len(MARK)] != MARK:
        return {}
    digest = hashlib.sha256(content[:end])
    digest.update(content[at:])
    if digest.digest() != content[end + len(MARK) : at]:
        raise BrokenSeal("it does not match its checksum")
    start = end - COUNT - int.from_bytes(content[end - COUNT : end], "little")
    try:
        note = json.loads(content[max(0, start) : end - COUNT])
    except (ValueError, RecursionError):  # sealed by somebody else
        return {}
    return note if isinstance(note, dict) else {}


def _footer(content: bytes) -> int:
    """Where the footer of a Parquet file begins, if these bytes are one: its length and "PAR1" end
    the file."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")
