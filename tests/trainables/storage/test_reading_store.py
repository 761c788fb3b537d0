"""A process that must change nothing in a study directory reads it, and changes nothing."""

from trainables.storage.reading_store import open_store
from trainables.storage.store import Store


def test_what_is_written_or_deleted_is_left_as_it_is(store: Store) -> None:
    store.write("rows/a.parquet", b"old")
    reading = open_store(store.uri, writes=False)
    reading.write("rows/a.parquet", b"new")
    reading.write("rows/b.parquet", b"new")
    reading.delete("rows")
    assert reading.delete_abandoned_files() == 0
    assert reading.read("rows/a.parquet") == b"old"
    assert reading.list("rows") == ["rows/a.parquet"] == store.list("rows")


def test_one_that_may_write_does(store: Store) -> None:
    open_store(store.uri, writes=True).write("a", b"1")
    assert store.read("a") == b"1"
