"""A file appears as a whole or not at all, and nothing temporary is left behind."""

import os
from pathlib import Path

import pytest

from trainables.storage.atomic_write import is_temporary, write_atomically


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with write_atomically(target) as stream:
        stream.write(b"half")
        assert not target.exists() and all(is_temporary(name) for name in os.listdir(tmp_path))
        stream.write(b" and half")
    assert target.read_bytes() == b"half and half" and os.listdir(tmp_path) == ["file"]


def test_an_error_leaves_the_older_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def write_half() -> None:
        with write_atomically(target) as stream:
            stream.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["x.tmp", ".x.tmp", f".{'0' * 32}.tmp.gz", "rows"])
def test_files_of_a_user_are_not_temporary(name: str) -> None:
    assert not is_temporary(name)
