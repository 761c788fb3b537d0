"""A small disk of its own that is full, or mounted read-only.

Covers: trainables/storage/local_disk.py.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.storage.store import Store, StoreFull, StoreReadOnly


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own, where mounting is permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True
    )
    if tried.returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_every_finished_file_whole(small_disk: Path) -> None:
    store = Store.at(small_disk / "study")
    written: dict[str, bytes] = {}

    def fill() -> None:
        for number in range(100):
            path, body = f"rows/{number:03d}", os.urandom(150_000)
            store.write(path, body)
            written[path] = body

    with pytest.raises(StoreFull) as caught:
        fill()
    assert 10 < len(written) < 15
    assert str(caught.value) == (
        f"the disk or quota that holds {store.uri} is full (No space left on device): free space "
        "and run the same "
        "command again; finished rows are safe"
    )
    assert store.list("") == sorted(written)
    assert {path: store.read(path) for path in written} == written
    assert {path.name for path in Path(store.uri, "rows").iterdir()} == {
        path[5:] for path in written
    }
    store.delete("rows/000")
    store.write("rows/100", b"x" * 150_000)


def test_a_read_only_disk_is_one_line(small_disk: Path) -> None:
    store = Store.at(small_disk / "study")
    store.write("rows/a", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for change in (lambda: store.write("rows/a", b"new"), lambda: store.delete("rows/a")):
        with pytest.raises(StoreReadOnly, match="Read-only file system.*make it writable"):
            change()
    assert store.read("rows/a") == b"old" and store.list("rows") == ["rows/a"]
