"""What the URI of a study directory may say: no credentials, and only known options."""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from trainables.storage.bucket_uri import BucketUri, find_local_path, is_remote
from trainables.storage.store import Store


def test_a_uri_is_taken_apart_and_printed_without_its_options() -> None:
    uri = BucketUri.parse("s3://bucket/a%20b?region=eu-west-1&scheme=http")
    assert (uri.scheme, uri.bucket, uri.root) == ("s3", "bucket", "bucket/a b")
    assert uri.options == (("region", "eu-west-1"), ("scheme", "http"))
    assert str(uri) == "s3://bucket/a b"


@pytest.mark.parametrize(
    "uri", ["s3://AKIAX:sEcReT@bucket/x?region=a", "s3://AKIAX@bucket/x", "gs://me:sEcReT@bucket/x"]
)
def test_credentials_do_not_belong_in_a_uri(uri: str) -> None:
    with pytest.raises(
        UserError, match="must not hold credentials.*bucket/x and set them in the env"
    ) as caught:
        Store.at(uri)
    assert "sEcReT" not in str(caught.value) and "AKIAX" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        (
            "http://host/x",
            "a study directory is a path, s3://bucket/path or gs://bucket/path, "
            "but got 'http://host/x'",
        ),
        ("s3:///x", "but got 's3:///x'"),
        (
            "s3://bucket/x?regoin=a",
            "the options of an s3:// URI are endpoint_override, .*, but got 'regoin'",
        ),
        (
            "s3://bucket/x?region=us-east-1/report",
            "hold no '/', but got region=us-east-1/report; paths come before",
        ),
        ("s3://bucket/x?allow_delayed_open=true", "but got 'allow_delayed_open'"),
    ],
)
def test_uris_of_no_known_kind_are_refused(uri: str, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        Store.at(uri)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("studies/x", "studies/x"),
        ("run:7/x", "run:7/x"),
        ("C:/x", "C:/x"),
        ("file:/tmp/x", "/tmp/x"),
        ("file:///tmp/a%20b", "/tmp/a b"),
        ("file://localhost/tmp/x", "/tmp/x"),
    ],
)
def test_local_paths_are_what_they_are(text: str, path: str) -> None:
    assert find_local_path(text) == Path(path) and not is_remote(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("s3:/bucket/x", "a folder is a path, .*; did you mean 's3://bucket/x'"),
        ("S3:bucket", "did you mean 's3://bucket'"),
        ("gs:/", "but got 'gs:/'$"),
        ("http:/host/x", "but got 'http:/host/x'$"),
        ("file:x", "a folder of this machine is file:///path, but got 'file:x'"),
        ("file://host/x", "a folder of this machine is file:///path"),
        ("s3://bucket//x", "single slashes, .*; did you mean 's3://bucket/x'"),
        ("gs://bucket/a//b/", "did you mean 'gs://bucket/a/b'"),
    ],
)
def test_what_is_nearly_a_uri_is_no_folder_of_that_name(text: str, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        Store.at(text)
