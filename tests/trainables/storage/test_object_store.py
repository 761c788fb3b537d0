"""A study directory in a bucket: uploads and downloads cut anywhere, folders, rivals, and how it is
connected to. Outages are in `test_bucket_outages.py`."""

import gc
import os
import signal
import time
from collections.abc import Callable

import pytest

from tests import s3_server
from tests.trainables.storage.writers import start_writer
from trainables.storage import object_store as buckets
from trainables.storage.bucket_uri import BucketUri
from trainables.storage.store import Store, StoreUnreachable

LARGE = 20_500_000  # three parts of an upload: the middle one is sent before the stream is closed
UPLOAD = {  # the requests that a file takes to be published
    "begin": lambda method, path: method == "POST" and path.endswith("?uploads"),
    "first part": lambda method, path: "partNumber=1&" in path,
    "second part": lambda method, path: "partNumber=2&" in path,
    "end": lambda method, path: method == "POST" and "?uploadId=" in path,
}
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("size", "request_name", "mode"),
    [
        *((LARGE, name, "500") for name in ("second part", "end")),
        *(pytest.param(LARGE, name, "500", marks=SLOW) for name in ("begin", "first part")),
        (LARGE, "second part", "cut"),
        *((0, name, "cut") for name in ("begin", "first part", "end")),
    ],
)
def test_an_upload_that_fails_anywhere_shows_nothing(
    remote: Store,
    s3: s3_server.S3,
    bucket: str,
    patient: Callable[[float], None],
    mode: s3_server.Mode,
    request_name: str,
    size: int,
) -> None:
    remote.write("rows/old", b"old")
    patient(0)
    s3.proxy.only, s3.proxy.mode = UPLOAD[request_name], mode
    for path in ("rows/old", "rows/new"):
        with pytest.raises(StoreUnreachable):
            remote.write(path, bytes(size))
    s3.proxy.reset()
    gc.collect()  # what pyarrow does when a failed stream is thrown away must not publish it either
    assert s3.objects(bucket) == {"study/rows/old": 3} and remote.read("rows/old") == b"old"
    remote.write("rows/new", bytes(size))
    assert remote.list("") == ["rows/new", "rows/old"] and remote.read("rows/new") == bytes(size)


def test_a_part_that_fails_once_is_sent_again(remote: Store, s3: s3_server.S3) -> None:
    body = os.urandom(LARGE)
    s3.proxy.only = UPLOAD["second part"]
    with s3.proxy.outage("cut", 0.5):
        remote.write("rows/a", body)
    assert remote.read("rows/a") == body


def test_a_writer_killed_in_the_middle_of_an_upload_shows_nothing(
    remote: Store, s3: s3_server.S3, bucket: str
) -> None:
    remote.write("rows/old", b"old")
    s3.proxy.only, s3.proxy.mode = UPLOAD["second part"], "hang"
    writer = start_writer("write_large", remote.uri)
    while not any(request.mode == "hang" for request in s3.proxy.requests):
        assert writer.poll() is None
        time.sleep(0.02)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    s3.proxy.reset()
    assert s3.objects(bucket) == {"study/rows/old": 3} and remote.read("rows/old") == b"old"
    assert remote.list("rows") == ["rows/old"]
    assert s3.unfinished_uploads(bucket) == ["study/rows/old"], (
        "invisible, but paid for: see the lifecycle rule"
    )


@pytest.mark.parametrize("request_name", ["HEAD", "GET"])
def test_a_download_that_is_cut_is_never_taken_for_whole(
    remote: Store, s3: s3_server.S3, patient: Callable[[float], None], request_name: str
) -> None:
    body = os.urandom(3_000_000)
    remote.write("a", body)
    s3.proxy.only = lambda method, path: method == request_name
    patient(30)
    with s3.proxy.outage("cut", 0.5):
        assert remote.read("a") == body
    patient(0)
    s3.proxy.mode = "cut"
    with pytest.raises(StoreUnreachable):
        remote.read("a")


@pytest.mark.parametrize("size", [0, 10, 5_000])
def test_a_file_replaced_while_it_is_read_is_read_again(
    remote: Store, s3: s3_server.S3, bucket: str, size: int
) -> None:
    remote.write("a", b"o" * 1000)
    replaced: list[str] = []

    def replace(method: str, path: str) -> bool:
        """Between the question for the length and the one for the content."""
        if method == "GET" and not replaced:
            replaced.append(path)
            s3.client().put_object(Bucket=bucket, Key="study/a", Body=b"n" * size)
        return False

    s3.proxy.only = replace
    assert remote.read("a") == b"n" * size and replaced


def test_markers_of_folders_are_no_files(remote: Store, s3: s3_server.S3, bucket: str) -> None:
    for name in ("study/", "study/rows/", "study/rows/deep/"):
        s3.client().put_object(Bucket=bucket, Key=name, Body=b"")
    assert remote.list("") == [] and not remote.exists("rows") and not remote.exists("rows/deep")
    remote.write("rows/deep/a", b"1")
    remote.write("rows/deep/b", b"1")
    assert remote.list("rows") == ["rows/deep/a", "rows/deep/b"]
    remote.delete("rows/deep/a")
    remote.delete("rows/deep")
    assert remote.list("") == [] and all(
        size == 0 and name[-1] == "/" for name, size in s3.objects(bucket).items()
    )


@pytest.mark.slow
def test_more_files_than_one_page_are_listed_and_deleted(
    remote: Store, s3: s3_server.S3, bucket: str
) -> None:
    client = s3.client()
    for number in range(1005):
        client.put_object(Bucket=bucket, Key=f"study/rows/{number:04d}", Body=b"")
    s3.proxy.requests.clear()
    assert remote.list("rows") == [f"rows/{number:04d}" for number in range(1005)]
    assert len(s3.proxy.requests) == 2
    remote.delete("rows")
    assert remote.list("rows") == []


@pytest.mark.parametrize("rival", [1, 2, 3])
def test_a_rival_may_delete_first(remote: Store, s3: s3_server.S3, bucket: str, rival: int) -> None:
    remote.write("a", b"1")
    s3.proxy.requests.clear()

    def delete(method: str, path: str) -> bool:
        """Before the request of that number."""
        if len(s3.proxy.requests) == rival - 1:
            s3.client().delete_object(Bucket=bucket, Key="study/a")
        return False

    s3.proxy.only = delete
    remote.delete("a")
    assert not remote.exists("a")


@pytest.mark.parametrize(("patience", "timeout"), [("60", 10), ("1000", 10), ("30", 5), ("0", 1)])
def test_requests_time_out_well_before_patience_is_over(
    monkeypatch: pytest.MonkeyPatch, s3: s3_server.S3, patience: str, timeout: float
) -> None:
    from pyarrow import fs

    asked: dict[str, object] = {}
    monkeypatch.setattr(fs, "S3FileSystem", lambda **options: asked.update(options))
    monkeypatch.setenv("PRUNING_STORE_PATIENCE", patience)
    buckets._connect.cache_clear()
    buckets.Bucket(BucketUri.parse(s3.uri("bucket/study")))._open_filesystem()
    buckets._connect.cache_clear()
    assert asked["connect_timeout"] == asked["request_timeout"] == timeout


def test_the_endpoint_of_the_environment_is_of_s3_before_all_services(
    monkeypatch: pytest.MonkeyPatch, s3: s3_server.S3, bucket: str
) -> None:
    store = Store.at(f"s3://{bucket}/study")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3.proxy.port}")
    store.write("a", b"1")
    assert s3.objects(bucket) == {"study/a": 1}


def test_a_connection_is_made_once(remote: Store) -> None:
    buckets._connect.cache_clear()
    for number in range(5):
        Store.at(remote.uri).write(f"{number}", b"")
    assert remote.below("deep").list("") == []
    assert buckets._connect.cache_info().misses == 1


def test_the_region_of_a_bucket_of_amazon_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, s3: s3_server.S3
) -> None:
    from pyarrow import fs

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setattr(fs, "resolve_s3_region", lambda name: {"mine": "eu-west-3"}[name])
    assert (
        buckets.Bucket(BucketUri.parse("s3://mine/study"))._open_filesystem().region == "eu-west-3"
    )
    assert (
        buckets.Bucket(BucketUri.parse("s3://mine/study?region=us-west-2"))
        ._open_filesystem()
        .region
        == "us-west-2"
    )


def test_google_goes_through_arrow_too() -> None:
    store = buckets.Bucket(BucketUri.parse("gs://anonymous@mine/study"))
    assert (
        store._open_filesystem().type_name == "gcs" and store._key("rows/a") == "mine/study/rows/a"
    )
