"""The name of a study directory: a local path, or the URI of a bucket, taken apart:
`s3://bucket/path?option=value`.

A URI never holds credentials, because URIs are printed and stored. What looks like a URI and is
none, such as `s3:/bucket/path`, is refused: as a path it would be a local folder of that name.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from pruning.user_error import UserError

S3_OPTIONS = (
    "endpoint_override",
    "scheme",
    "region",
    "allow_bucket_creation",
    "force_virtual_addressing",
)

_BUCKETS = "s3://bucket/path or gs://bucket/path"
# Words before a colon that are meant as the scheme of a URI and never as a folder's name.
_SCHEME = re.compile(
    "(file|s3|s3a|s3n|gs|gcs|https?|hdfs|az|abfss?|wasbs?|dbfs|s?ftp):(/*)(.*)",
    re.IGNORECASE | re.DOTALL,
)


def is_remote(uri: str) -> bool:
    """Whether a study directory is named by a URI such as `s3://bucket/path`."""
    return "://" in uri and not uri.lower().startswith("file://")


def find_local_path(text: str) -> Path:
    """The local path that a text names, as it stands or as `file:///path`.

    Raises:
        UserError: it is a URI that is written wrongly, or not of this machine.
    """
    match = _SCHEME.fullmatch(text)
    if not match:
        return Path(text)
    scheme, slashes, rest = match[1].lower(), match[2], match[3]
    if scheme == "file":
        if slashes == "//" and rest.lower().startswith("localhost/"):
            slashes, rest = "/", rest[len("localhost/") :]
        if slashes not in ("/", "///"):
            raise UserError(f"a folder of this machine is file:///path, but got '{text}'")
        return Path(f"/{unquote(rest)}")
    hint = f"; did you mean '{scheme}://{rest}'?" if scheme in ("s3", "gs") and rest else ""
    raise UserError(f"a folder is a path, {_BUCKETS}, but got '{text}'{hint}")


@dataclass(frozen=True)
class BucketUri:
    """A bucket's URI: `root` is the `bucket/path` that pyarrow wants, `user` only gs's
    `anonymous`."""

    scheme: str
    user: str
    root: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, uri: str) -> "BucketUri":
        """Take a URI apart.

        Raises:
            UserError: there are credentials in it, or it names no bucket of a kind we know.
        """
        scheme, _, rest = uri.partition("://")
        rest, _, query = rest.partition("?")
        authority, slash, path = rest.partition("/")
        user, _, bucket = authority.rpartition("@")
        if user and (scheme == "s3" or user != "anonymous"):
            raise UserError(
                "a study directory's URI must not hold credentials, because it is printed and "
                f"stored; write {scheme}://{bucket}{slash}{path} and set them in the environment "
                "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or in a profile"
            )
        if scheme not in ("s3", "gs") or not bucket:
            place = f"{scheme}://{bucket}{slash}{path}"
            raise UserError(f"a study directory is a path, {_BUCKETS}, but got '{place}'")
        if "//" in path or path.startswith("/"):
            whole = re.sub("/+", "/", path).strip("/")
            raise UserError(
                "the path in a bucket has single slashes, but got "
                f"'{scheme}://{bucket}{slash}{path}'; did you mean '{scheme}://{bucket}/{whole}'?"
            )
        options = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
        for name, value in options if scheme == "s3" else ():
            if name not in S3_OPTIONS:
                raise UserError(
                    f"the options of an s3:// URI are {', '.join(S3_OPTIONS)}, but got '{name}'"
                )
            if "/" in value:
                raise UserError(
                    f"options of an s3:// URI hold no '/', but got {name}={value}; "
                    "paths come before '?'"
                )
        return cls(scheme, user, unquote(f"{bucket}/{path}").strip("/"), options)

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.root.partition("/")[0]

    def __str__(self) -> str:
        """The URI without its options, to print."""
        return f"{self.scheme}://{self.root}"
