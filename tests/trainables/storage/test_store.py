"""The contract of a study directory, on a disk and in a bucket: files appear whole or not at all,
and stay inside."""

import errno
import hashlib
import itertools
import os
import pickle
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from tests.trainables.storage.writers import start_writer
from trainables.storage import retry
from trainables.storage.store import Store, is_remote

# Where it does not matter how the endpoint of a bucket is named, one way is quick.
EITHER = pytest.mark.parametrize(
    "store",
    ["disk", "s3 by URI", pytest.param("s3 by environment", marks=pytest.mark.slow)],
    indirect=True,
)


class TestEveryStore:
    """What holds for a disk and for a bucket alike."""

    def test_write_read_list_delete(self, store: Store) -> None:
        assert store.list("rows") == [] and not store.exists("rows/a/b.parquet")
        store.write("rows/a/b.parquet", b"1")
        store.write("rows/a/b.parquet", b"2")
        store.write("rows/c.json", b"3")
        assert store.exists("rows/a/b.parquet") and not store.exists("rows/a")
        assert store.read("rows/a/b.parquet") == b"2"
        assert store.list("rows") == ["rows/a/b.parquet", "rows/c.json"] == store.list("")
        assert store.list(".") == ["./rows/a/b.parquet", "./rows/c.json"]
        assert store.list("rows", ".parquet") == ["rows/a/b.parquet"] == store.list("rows/a")
        store.delete("rows/a")
        assert store.list("rows") == ["rows/c.json"]
        store.delete("rows/c.json")
        assert store.list("rows") == [] == store.list("")

    def test_what_is_not_there_is_not_found_and_deleted_in_silence(self, store: Store) -> None:
        for path in ("rows", "rows/a", "rows/a/b.parquet"):
            store.delete(path)
            assert not store.exists(path) and store.list(path) == []
            with pytest.raises(FileNotFoundError):
                store.read(path)
        store.write("rows/a/b", b"1")
        for _ in range(2):
            store.delete("rows/a")

    @EITHER
    @pytest.mark.parametrize(
        "name",
        [
            "a b",
            "ä",
            "日本",
            "a=b",
            "a+b",
            "a%20b",
            "a%",
            "a#b",
            "a?b&c",
            "~'\"<>",
            ".hidden",
            "s0.900",
            "a.gz",
            "x.tmp",
        ],
    )
    def test_names_are_taken_as_they_are(self, store: Store, name: str) -> None:
        path = f"rows/{name}/{name}.parquet"
        store.write(path, name.encode())
        store.write(f"rows/{name}.gz", b"as it is")  # arrow would like to compress by ending
        assert store.read(path) == name.encode() and store.exists(path)
        assert store.read(f"rows/{name}.gz") == b"as it is"
        assert store.list("rows") == sorted([path, f"rows/{name}.gz"])
        below = store.below(f"rows/{name}")
        assert (
            below.list("") == [f"{name}.parquet"] and below.read(f"{name}.parquet") == name.encode()
        )
        store.delete(f"rows/{name}")
        assert store.list("rows") == [f"rows/{name}.gz"]

    @EITHER
    @pytest.mark.parametrize("size", [0, 1, 5 * 2**20, 20_000_000])
    def test_bodies_of_every_size(self, store: Store, size: int) -> None:
        body = os.urandom(size)
        store.write("a", body)
        assert hashlib.sha256(store.read("a")).digest() == hashlib.sha256(body).digest()

    @pytest.mark.parametrize(
        "path",
        ["../x", "/x", "a/../../x", "a/./b", "a//b", "a/", "", ".", "..", "a\\..\\..\\x", "a\0b"],
    )
    def test_nothing_escapes(self, store: Store, path: str) -> None:
        for act in (
            store.read,
            store.exists,
            store.delete,
            store.below,
            lambda path: store.write(path, b""),
        ):
            with pytest.raises(ValueError, match="relative"):
                act(path)
        if path not in ("", "."):
            with pytest.raises(ValueError, match="relative"):
                store.list(path)

    @EITHER
    def test_writers_of_one_path_never_mix(self, store: Store, tmp_path: Path) -> None:
        enough = tmp_path / "enough"
        store.write("rows/a", b"A000" * 1000)
        writers = [start_writer("overwrite", store.uri, letter, str(enough)) for letter in "AEZ"]
        seen: set[bytes] = set()
        until, reads = time.monotonic() + 60, 0
        while (len(seen) < 3 or reads < 20) and time.monotonic() < until:
            content = store.read("rows/a")
            assert content == content[:4] * (1000 * (content[0] - 64))
            seen, reads = seen | {content[:1]}, reads + 1
        enough.touch()
        assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
        assert seen == {b"A", b"E", b"Z"}
        assert store.list("") == ["rows/a"]

    @EITHER
    def test_deleting_a_folder_that_is_written_to_troubles_neither(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
        writer = start_writer("write_many", store.uri, "60" if is_remote(store.uri) else "150")
        while writer.poll() is None:
            store.delete("checkpoints/key")
            time.sleep(0.005)  # without any pause it could beat a writer that syncs, for ever
        assert writer.communicate()[1] == "" and writer.returncode == 0
        store.delete("checkpoints/key")
        assert store.list("checkpoints") == []

    def test_it_can_be_sent_to_other_processes_and_used_after_a_fork(self, store: Store) -> None:
        store.write("a", b"1")
        assert pickle.loads(pickle.dumps(store)).read("a") == b"1"
        child = os.fork()
        if child == 0:
            try:
                store.write("b", store.read("a") * 2)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert store.read("b") == b"11"

    def test_deleting_abandoned_files_leaves_what_is_whole(self, store: Store) -> None:
        store.write("a", b"1")
        assert store.delete_abandoned_files() == 0 and store.list("") == ["a"]


def test_paths_are_absolute_and_uris_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.at("study").uri == str(tmp_path / "study")
    assert Store.at(f"file://{tmp_path}").uri == str(tmp_path)
    assert Store.at("s3://bucket/study").uri == "s3://bucket/study"
    assert is_remote("gs://x") and not is_remote("/x") and not is_remote("file:///x")


def test_places_and_folders_of_a_store() -> None:
    here = Store.at("/x/study")
    assert here.place() == "/x/study" and here.place("rows/a") == "/x/study/rows/a"
    assert here.below("report").uri == "/x/study/report"
    there = Store.at("s3://bucket/a%20b?region=eu-west-1&scheme=http")
    assert there.place() == "s3://bucket/a b" and there.place("rows/a") == "s3://bucket/a b/rows/a"
    assert (
        there.below("report/x y").uri
        == "s3://bucket/a%20b/report/x%20y?region=eu-west-1&scheme=http"
    )
    assert there.below("report/x y").place("a") == "s3://bucket/a b/report/x y/a"
    assert Store.at("s3://bucket").place("a") == "s3://bucket/a"


@pytest.mark.parametrize(("waits", "threads"), [(True, 2), (False, 1)])
def test_items_go_to_several_threads_only_where_a_task_waits(
    waits: bool, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(
        perf_counter=itertools.count().__next__, thread_time=itertools.count(0, not waits).__next__
    )
    monkeypatch.setattr("trainables.storage.store.time", clock)
    meeting = threading.Barrier(threads)

    def work(item: int) -> tuple[int, int]:
        if item >= 4:
            meeting.wait(60)  # for ever where fewer threads come than should
        return item, threading.get_ident()

    found = Store.at(tmp_path).parallel_map(work, iter(range(4 + 2 * threads)))
    assert [item for item, _ in found] == list(range(4 + 2 * threads))
    assert ({worker for _, worker in found} == {threading.get_ident()}) is not waits
    assert Store.at(tmp_path).parallel_map(work, []) == []


def test_why_a_directory_cannot_be_written_to(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "study")
    assert store.find_loss("logs/probe") == "" and not store.exists("logs/probe")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("trainables.storage.local_disk.Disk.write", side_effect=full):
        assert "is full" in store.find_loss("logs/probe")


def test_what_macos_puts_beside_files_is_not_listed(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for name in ("rows/k/seed0.parquet", "rows/k/._seed0.parquet", "rows/._k"):
        store.write(name, b"")
    assert store.list("rows") == store.list("rows", ".parquet") == ["rows/k/seed0.parquet"]
