"""The URI of a study directory in a bucket, taken apart: `s3://bucket/path?option=value`.

It never holds credentials, because URIs are printed and stored.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pruning.user_error import UserError

S3_OPTIONS = (
    "endpoint_override",
    "scheme",
    "region",
    "allow_bucket_creation",
    "force_virtual_addressing",
)


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
            raise UserError(
                "a study directory is a path, s3://bucket/path or gs://bucket/path, "
                f"but got '{place}'"
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
