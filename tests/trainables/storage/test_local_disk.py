"""A study directory on a disk that goes away, forbids, or loses its writer in the middle, and on
links and drives with a bin. Full and read-only disks are in `test_full_disk.py`."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainables.storage.writers import start_writer
from trainables.storage import local_disk, retry
from trainables.storage.local_disk import Disk
from trainables.storage.store import (
    Store,
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
)

PASSING = ["EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EHOSTDOWN", "ENOTCONN"]
WHERE = {  # the call that fails, and the verb it fails in
    "open": "write",
    "fsync": "write",
    "replace": "write",
    "read_bytes": "read",
    "scandir": "list",
    "unlink": "delete",
}


def break_call(monkeypatch: pytest.MonkeyPatch, call: str, code: int, times: float) -> None:
    """Let the next `times` calls of that name, of the system or of a path, fail."""
    owner = Path if call in ("open", "read_bytes") else os
    real, left = getattr(owner, call), [times]

    def failing(*arguments: object, **named: object) -> object:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(owner, call, failing)


def act(store: Store, verb: str) -> object:
    """Do something with a store in which rows/a is b"old"; whether it did what it should."""
    match verb:
        case "write":
            store.write("rows/a", b"new")
            return store.read("rows/a") == b"new"
        case "read":
            return store.read("rows/a") == b"old"
        case "list":
            return store.list("rows") == ["rows/a"]
    store.delete("rows/a")
    return store.list("rows") == []


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study directory with one file."""
    store = Store.at(tmp_path / "study")
    store.write("rows/a", b"old")
    return store


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("call", WHERE)
def test_a_network_disk_that_comes_back_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    with monkeypatch.context() as patch:
        break_call(patch, call, getattr(errno, name), 2)
        assert act(store, WHERE[call])
    assert [path.name for path in Path(store.uri, "rows").iterdir()] in (["a"], [])


@pytest.mark.parametrize("call", WHERE)
def test_a_network_disk_that_stays_away_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, patient: Callable[[float], None], call: str
) -> None:
    patient(0.3)
    with monkeypatch.context() as patch:
        break_call(patch, call, errno.EIO, 1e9)
        with pytest.raises(
            StoreUnreachable, match=f"^{store.uri} did not answer for 0 s .Input/output error.: run"
        ):
            act(store, WHERE[call])
    assert store.read("rows/a") == b"old"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreForbidden),
        (errno.EPERM, StoreForbidden),
        (errno.EROFS, StoreReadOnly),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[StoreLost]
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("this does not pass by waiting"))
    with monkeypatch.context() as patch:
        break_call(patch, call, code, 1e9)
        with pytest.raises(
            kind, match=f"{store.uri} .*{os.strerror(code)}.*; finished rows are safe$"
        ) as caught:
            store.write("rows/a", b"new")
    assert "\n" not in str(caught.value)
    assert store.read("rows/a") == b"old" and [
        path.name for path in Path(store.uri, "rows").iterdir()
    ] == ["a"]


def test_a_folder_that_cannot_be_listed_does_not_pass_for_an_empty_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, patient: Callable[[float], None]
) -> None:
    patient(0)
    store.write("rows/deep/b", b"1")
    real = os.scandir

    def fail_below(path: str) -> object:
        if str(path).endswith("deep"):
            raise OSError(errno.EIO, "bad sector")
        return real(path)

    monkeypatch.setattr(os, "scandir", fail_below)
    with pytest.raises(StoreUnreachable, match="bad sector"):
        store.list("rows")


def test_what_is_in_the_way_is_told_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store.at(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        store.read("study.yaml")
    assert store.list("rows") == [] and not store.exists("rows/a")
    with pytest.raises(NotADirectoryError):
        store.write("rows/a", b"")
    other = Store.at(tmp_path)
    with pytest.raises(FileExistsError):
        other.write("file/a", b"")
    with pytest.raises(IsADirectoryError):
        Store.at(tmp_path.parent).write(tmp_path.name, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_that_goes_while_it_is_made_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    real, left = Path.mkdir, [3]

    def lose(self: Path, *arguments: object, **named: object) -> None:
        """What pathlib raises when the folder above, or the folder found there already, is deleted
        by another."""
        left[0] -= 1
        if left[0] >= 0:
            raise error(self)
        real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", lose)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("no reason to wait"))
    store.write("new/a", b"1")
    assert store.read("new/a") == b"1"


def test_a_folder_that_cannot_be_made_is_no_endless_race() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc")
    with pytest.raises(StoreForbidden, match="its folder cannot be made"):
        Store.at("/proc/study").write("rows/a", b"")


def test_a_writer_killed_in_the_middle_leaves_nothing_that_counts(store: Store) -> None:
    writer = start_writer("die_before_sync", store.uri)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    rows = Path(store.uri, "rows")
    left = [path for path in rows.iterdir() if path.name != "a"]
    assert len(left) == 1 and left[0].read_bytes() == b"half"
    assert store.list("rows") == ["rows/a"] and store.read("rows/a") == b"old"
    assert store.delete_abandoned_files() == 0, "its writer might still be at work"
    os.utime(left[0], (time.time() - 3700,) * 2)
    os.utime(rows / "a", (time.time() - 3700,) * 2)
    for own in ("old.tmp", ".mine.tmp"):
        (rows / own).write_bytes(b"of a user")
        os.utime(rows / own, (time.time() - 3700,) * 2)
    assert store.delete_abandoned_files() == 1
    assert sorted(path.name for path in rows.iterdir()) == [".mine.tmp", "a", "old.tmp"]


def test_the_folder_is_synced_after_the_rename(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda file: (done.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file))[1],
    )
    monkeypatch.setattr(
        Path, "replace", lambda here, there: (done.append("rename"), replace(here, there))[1]
    )
    store.write("rows/b", b"1")
    assert done[0].endswith(".tmp") and done[1:] == ["rename", str(Path(store.uri, "rows"))]


def test_mounts_that_sync_no_folders_are_fine(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refuse(file: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(file)

    monkeypatch.setattr(os, "fsync", refuse)
    store.write("rows/b", b"1")
    assert store.read("rows/b") == b"1"


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "checkpoints").symlink_to(tmp_path / "scratch")
    store = Store.at(tmp_path / "near")
    store.write("checkpoints/key/a", b"1")
    assert (tmp_path / "scratch" / "key" / "a").read_bytes() == b"1"
    assert store.list("checkpoints") == ["checkpoints/key/a"]
    store.delete("checkpoints")
    assert (
        list((tmp_path / "scratch").iterdir()) == []
        and (tmp_path / "far" / "checkpoints").is_symlink()
    )
    store.write("checkpoints/key/b", b"2")
    (tmp_path / "far" / "link").symlink_to(tmp_path / "scratch" / "key" / "b")
    store.delete("link")
    assert store.read("checkpoints/key/b") == b"2" and not store.exists("link")


@pytest.mark.parametrize(("kind", "size"), [("fuse.drive", 0), ("ext4", 7)])
def test_what_goes_into_a_bin_is_empty(
    kind: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second name of each file shows what is left of it when the first is deleted."""
    monkeypatch.setattr(local_disk, "find_file_system", lambda path: kind)
    disk = Disk(tmp_path / "drive")
    for name in ("folder/a", "b"):
        disk.write(name, b"content")
        os.link(tmp_path / "drive" / name, tmp_path / name[-1])
    disk.delete("folder")
    disk.delete("b")
    assert disk.list("") == []
    assert [(tmp_path / name).stat().st_size for name in "ab"] == [size, size]
