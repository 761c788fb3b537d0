"""What the URI of a study directory may say: no credentials, and only known options."""

import pytest

from pruning.user_error import UserError
from trainables.storage.bucket_uri import BucketUri
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
