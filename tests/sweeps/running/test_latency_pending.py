"""What is left to time, read from the records of trials."""

import pytest

from sweeps.running.latency_pass import (
    time_pending,
)
from sweeps.running.latency_pending import find_pending, read_image_sizes
from tests.sweeps.running.timed_study import Study
from trainables.storage.store import Store, StoreUnreachable


def test_records_that_cannot_be_read_are_named_and_the_rest_goes_on(timed: Study) -> None:
    key = timed.missing()[0]
    path = f"layers/{key}.parquet"
    content = timed.store.read(path)
    try:
        timed.store.write(path, b"PAR1")
        assert list(timed.walk()) == [key]
        timed.store.delete(path)
        assert list(timed.walk()) == [key]
    finally:
        timed.store.write(path, content)
    assert timed.missing() == [key]


def test_a_lost_study_directory_ends_the_pass(
    timed: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Store, path: str) -> bytes:
        raise StoreUnreachable("no answer")

    keys = timed.missing()
    monkeypatch.setattr(Store, "read", read)
    with pytest.raises(StoreUnreachable):
        find_pending(timed.plan, keys, timed.store, {"digits": ((1, 8, 8), 10)})


def test_each_file_is_read_once(timed: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real, keys = Store.read, timed.missing()
    monkeypatch.setattr(Store, "read", lambda self, path: (read.append(path), real(self, path))[1])
    pending = find_pending(timed.plan, keys, timed.store, read_image_sizes(timed.spec))
    assert time_pending(pending, timed.store, timed.time, say=timed.printed.append) == {}
    assert sorted(read) == sorted(
        f"{table}/{key}.parquet" for key in timed.plan.by_key for table in ("rows", "layers")
    )
