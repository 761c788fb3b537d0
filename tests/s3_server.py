"""A local S3 behind a proxy that fails on demand, for tests and for the chaos harness.

    with s3_server.running() as s3:
        s3.create_bucket("studies")
        # s3://… with endpoint, scheme and region in its query
        uri = s3.uri("studies/digits")
        environment = {**os.environ, **s3.env}  # credentials of the local server
        s3.proxy.mode = "refuse"                  # from now on; "ok" ends the outage

Needs `moto[s3,server]` and boto3 from the dev extra. The server is a process of its own
(`tests/moto_server.py`), the proxy consists of threads of this process.
"""

import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faulty_proxy import FaultyProxy, Mode

__all__ = ["S3", "FaultyProxy", "Mode", "running"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class S3:
    """A running local S3. `port` is the server itself, `proxy.port` the one that fails
    on demand."""

    port: int
    proxy: FaultyProxy

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with credentials that the server takes."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    @property
    def endpoint_env(self) -> dict[str, str]:
        """The other way to name the endpoint: `env`, and the proxy as the endpoint of a plain
        `s3://bucket/path`."""
        return {
            **self.env,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}",
            "AWS_REGION": "us-east-1",
        }

    def uri(self, path: str) -> str:
        """A `bucket/path` as a URI that goes through the proxy."""
        endpoint = f"127.0.0.1:{self.proxy.port}"
        return f"s3://{path}?endpoint_override={endpoint}&scheme=http&region=us-east-1"

    def client(self) -> Any:
        """A boto3 client straight to the server, past the proxy: what is really there."""
        return _client(self.port)

    def create_bucket(self, name: str) -> str:
        """Create a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str) -> dict[str, int]:
        """Size in bytes of everything in a bucket by name, folder markers included."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def unfinished_uploads(self, bucket: str) -> list[str]:
        """Names of multipart uploads that were neither completed nor aborted."""
        return [
            item["Key"]
            for item in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        ]


@functools.cache
def _client(port: int) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@contextmanager
def running() -> Iterator[S3]:
    """A server with its proxy, until the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.moto_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    try:
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(
                "the local S3 server did not start; is moto[s3,server] of the dev extra installed?"
            )
        proxy = FaultyProxy(int(line))
        try:
            yield S3(int(line), proxy)
        finally:
            proxy.close()
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
