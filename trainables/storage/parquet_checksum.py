"""The checksum footer of our Parquet files: a note and a SHA-256 checksum of all else.

Both lie between the pages of the file and Parquet's own footer, where no reader of Parquet looks.
The checksums that Parquet itself knows are those of pages: they leave its footer out, and to check
them a file has to be decoded, which takes forty times as long.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MARK = b"sha-256:"
LENGTH_BYTES = 4  # that hold the length of the note, before the mark


class ChecksumMismatch(ValueError):
    """The content of a file is not that of which its checksum was made."""


def add_checksum(content: bytes, note: Mapping[str, object]) -> bytes:
    """A Parquet file with a note, which JSON can express, and a checksum in it; all else stays as
    it is."""
    start, text = _find_parquet_footer(content), json.dumps(note).encode()
    body = content[:start] + text + len(text).to_bytes(LENGTH_BYTES, "little")
    footer = content[start:]
    return body + MARK + hashlib.sha256(body + footer).digest() + footer


def verify_checksum(content: bytes) -> dict[str, Any]:
    """The note of a file with a checksum; an empty one where there is no checksum, or where just
    its mark or place is damaged.

    Raises:
        ChecksumMismatch: the file and its checksum do not match.
    """
    footer = _find_parquet_footer(content)
    end = footer - hashlib.sha256().digest_size - len(MARK)
    if end < LENGTH_BYTES or content[end : end + len(MARK)] != MARK:
        return {}
    digest = hashlib.sha256(content[:end])
    digest.update(content[footer:])
    if digest.digest() != content[end + len(MARK) : footer]:
        raise ChecksumMismatch("it does not match its checksum")
    length = int.from_bytes(content[end - LENGTH_BYTES : end], "little")
    start = end - LENGTH_BYTES - length
    try:
        note = json.loads(content[max(0, start) : end - LENGTH_BYTES])
    except (ValueError, RecursionError):  # another program wrote the note
        return {}
    return note if isinstance(note, dict) else {}


def _find_parquet_footer(content: bytes) -> int:
    """Where the footer of a Parquet file begins, if these bytes are one: its length and "PAR1" end
    the file."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")
