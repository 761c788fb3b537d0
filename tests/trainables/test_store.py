"""Files of a study directory appear whole or not at all."""

import os
from pathlib import Path

import pytest

from trainables.store import Store, is_remote


def test_write_read_list_delete(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "study")
    assert store.list("rows") == [] and not store.exists("rows/a/b.parquet")
    store.write("rows/a/b.parquet", b"1")
    store.write("rows/a/b.parquet", b"2")
    store.write("rows/c.json", b"3")
    assert store.read("rows/a/b.parquet") == b"2"
    assert store.list("rows") == ["rows/a/b.parquet", "rows/c.json"]
    assert store.list("rows", ".parquet") == ["rows/a/b.parquet"]
    store.delete("rows/a")
    store.delete("rows/missing")
    store.delete("rows/c.json")
    assert store.list("rows") == []
    with pytest.raises(FileNotFoundError):
        store.read("rows/c.json")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(tmp_path)
    store.write("rows/a.parquet", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write("rows/a.parquet", b"new")
    assert store.read("rows/a.parquet") == b"old"
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["a.parquet"]


def test_unfinished_files_of_others_are_not_listed(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    store.write("rows/a.parquet", b"1")
    (tmp_path / "rows" / ".b.parquet.0123abcd.tmp").write_bytes(b"half")
    assert store.list("rows") == ["rows/a.parquet"]


def test_paths_are_absolute_and_uris_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.at("study").uri == str(tmp_path / "study")
    assert Store.at(f"file://{tmp_path}").uri == str(tmp_path)
    assert Store.at("s3://bucket/study").uri == "s3://bucket/study"
    assert is_remote("gs://x") and not is_remote("/x") and not is_remote("file:///x")


def test_any_filesystem_of_arrow_serves_as_a_remote_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import fs

    monkeypatch.setattr(Store, "_remote", lambda self: (fs.LocalFileSystem(), str(tmp_path)))
    store = Store("s3://bucket/study")
    with pytest.raises(FileNotFoundError):
        store.read("rows/a.parquet")
    (tmp_path / "rows").mkdir()
    store.write("rows/a.parquet", b"1")
    assert store.exists("rows/a.parquet") and store.read("rows/a.parquet") == b"1"
    assert store.list("rows") == ["rows/a.parquet"] and store.list("none") == []
    store.delete("rows/a.parquet")
    store.delete("rows/a.parquet")
    store.delete("rows")
    assert store.list("rows") == []
