"""A bucket whose server is away, hangs, refuses or is full: what is waited for, and what is told.

Covers: trainables/storage/object_store.py.
"""

import itertools
import time
from collections.abc import Callable

import pytest

from tests import s3_server
from trainables.storage.store import Store, StoreForbidden, StoreFull, StoreLost, StoreUnreachable

VERBS: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write("rows/new", b"new"),
    "write large": lambda store: store.write("rows/old", bytes(11_000_000)),
    "read": lambda store: store.read("rows/old"),
    "exists": lambda store: store.exists("rows/old"),
    "list": lambda store: store.list("rows"),
    "delete": lambda store: store.delete("rows/old"),
}


def first(count: int) -> Callable[[str, str], bool]:
    """Of requests, the first ones: an outage that ends when so many have met it."""
    met = itertools.count()
    return lambda method, path: next(met) < count


@pytest.mark.parametrize("mode", ["cut", "500", "503"])
def test_an_outage_goes_unnoticed(
    remote: Store, s3: s3_server.S3, mode: s3_server.Mode, patient: Callable[[float], None]
) -> None:
    patient(30)
    remote.write("rows/old", b"old")
    for verb in VERBS.values():
        s3.proxy.requests.clear()
        s3.proxy.only, s3.proxy.mode = first(2), mode
        verb(remote)
        s3.proxy.mode = "ok"
        assert sum(request.mode == mode for request in s3.proxy.requests) == 2
    assert remote.list("rows") == ["rows/new"] and remote.read("rows/new") == b"new"


def test_a_server_that_refuses_for_a_while_goes_unnoticed(
    remote: Store, s3: s3_server.S3, patient: Callable[[float], None]
) -> None:
    patient(30)
    remote.write("rows/old", b"old")
    for verb in VERBS.values():
        with s3.proxy.outage("refuse", 0.2):
            verb(remote)
    assert remote.list("rows") == ["rows/new"] and remote.read("rows/new") == b"new"


def test_a_server_that_is_away_for_a_second_is_waited_for(remote: Store, s3: s3_server.S3) -> None:
    with s3.proxy.outage("refuse", 1):
        began = time.monotonic()
        remote.write("rows/a", b"1")
        assert time.monotonic() - began >= 1
    assert remote.read("rows/a") == b"1"


@pytest.mark.parametrize("mode", ["refuse", "cut", "500", "503"])
def test_a_server_that_stays_away_is_lost_in_one_line(
    remote: Store,
    bucket: str,
    s3: s3_server.S3,
    mode: s3_server.Mode,
    patient: Callable[[float], None],
) -> None:
    remote.write("rows/old", b"old")
    patient(0.2)
    s3.proxy.mode = mode
    for verb in ("write large", "read", "list", "delete"):
        with pytest.raises(StoreUnreachable) as caught:
            VERBS[verb](remote)
        told = str(caught.value)
        assert (
            told.startswith(f"s3://{bucket}/study did not answer for 0 s (AWS Error ")
            and "\n" not in told
        )
        assert told.endswith("): run the same command again when it does; finished rows are safe")
    s3.proxy.reset()
    assert {name: size for name, size in s3.objects(bucket).items() if size} == {
        "study/rows/old": 3
    }


def test_a_server_that_hangs_does_not_block(
    remote: Store, s3: s3_server.S3, patient: Callable[[float], None]
) -> None:
    remote.write("rows/old", b"old")
    patient(0)
    s3.proxy.mode = "hang"
    for verb in ("read", "list"):
        with pytest.raises(StoreUnreachable, match="[Tt]imeout"):
            VERBS[verb](remote)
    patient(12)
    with s3.proxy.outage("hang", 1.5):
        assert remote.read("rows/old") == b"old"


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("read", "list")])
def test_nothing_blocks_on_a_server_that_hangs(
    remote: Store, s3: s3_server.S3, patient: Callable[[float], None], verb: str
) -> None:
    remote.write("rows/old", b"old")
    patient(1)
    s3.proxy.mode = "hang"
    with pytest.raises(StoreUnreachable, match="[Tt]imeout"):
        VERBS[verb](remote)


@pytest.mark.parametrize(
    ("mode", "kind"), [("403", StoreForbidden), ("507", StoreFull), ("error", StoreFull)]
)
@pytest.mark.parametrize("verb", ["write", "write large", "list"])
def test_what_waiting_does_not_cure_is_told_at_once(
    remote: Store,
    s3: s3_server.S3,
    bucket: str,
    mode: s3_server.Mode,
    kind: type[StoreLost],
    verb: str,
) -> None:
    remote.write("rows/old", b"old")
    s3.proxy.requests.clear()
    s3.proxy.mode = mode
    with pytest.raises(kind, match=f"^.*s3://{bucket}/study .*finished rows are safe$") as caught:
        VERBS[verb](remote)
    assert "\n" not in str(caught.value) and len(s3.proxy.requests) == 1
    s3.proxy.reset()
    assert remote.read("rows/old") == b"old" and remote.list("rows") == ["rows/old"]


def test_a_bucket_that_is_not_there_is_named(s3: s3_server.S3) -> None:
    store = Store.at(s3.uri("no-such-bucket/study"))
    with pytest.raises(
        StoreForbidden, match="^s3://no-such-bucket/study cannot be used .*bucket does not exist"
    ):
        store.write("a", b"1")
    with pytest.raises(FileNotFoundError):
        store.read("a")
    made = Store.at(s3.uri("bucket-to-be/study") + "&allow_bucket_creation=true")
    made.write("a", b"1")
    assert s3.objects("bucket-to-be") == {"study/a": 1}
