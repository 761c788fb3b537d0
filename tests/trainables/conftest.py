"""A local S3 for the tests of this folder, study directories of every kind, and a worker."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests import s3_server
from trainables.storage import object_store as buckets
from trainables.storage.store import Store

if TYPE_CHECKING:
    from trainables.ray_trainable import RayTrial


@pytest.fixture(scope="session")
def s3_session() -> Iterator[s3_server.S3]:
    """One server for all tests of this session."""
    with s3_server.running() as s3:
        yield s3


@pytest.fixture
def s3(s3_session: s3_server.S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3]:
    """The server with its credentials in the environment, and a proxy that hinders nothing."""
    for name, value in s3_session.env.items():
        monkeypatch.setenv(name, value)
    s3_session.proxy.reset()
    yield s3_session
    s3_session.proxy.reset()


@pytest.fixture
def bucket(s3: s3_server.S3) -> str:
    """A new bucket."""
    return s3.create_bucket(f"b{uuid4().hex[:12]}")


@pytest.fixture(params=["disk", "s3 by URI", "s3 by environment"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty study directory, on a disk or in a bucket whose endpoint is named in one of two
    ways."""
    if request.param == "disk":
        return Store.at(tmp_path / "study")
    s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
    if request.param == "s3 by URI":
        return Store.at(s3.uri(f"{bucket}/some/study"))
    for name, value in s3.endpoint_env.items():
        monkeypatch.setenv(name, value)
    return Store.at(f"s3://{bucket}/some/study")


@pytest.fixture
def remote(s3: s3_server.S3, bucket: str) -> Store:
    """An empty study directory in a bucket behind the proxy."""
    return Store.at(s3.uri(f"{bucket}/study"))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Sets how many seconds stores go on trying; the SDK's own tries, with pauses of its own, are
    left out."""
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    buckets._connect.cache_clear()
    yield lambda seconds: monkeypatch.setenv("PRUNING_STORE_PATIENCE", str(seconds))
    buckets._connect.cache_clear()


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayTrial]:
    """A worker with a dense trial to do; its process's own handler of SIGTERM is put back
    afterwards."""
    from tests.trainables.ray_worker import SPEC, make_config
    from trainables import ray_trainable  # with Ray, which most tests of this folder do without
    from trainables.environment import Environment

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ray_trainable, "RETRY_PAUSE", 0.0)
    environment = Environment(store=str(tmp_path), checkpoint_seconds=1e9)
    yield ray_trainable.RayTrial(make_config(SPEC, environment))
    signal.signal(signal.SIGTERM, before)
