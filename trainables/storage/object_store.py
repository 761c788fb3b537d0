"""A study directory in a bucket: `s3://` or `gs://`, through pyarrow.fs.

Credentials come from where the SDK of the cloud looks for them (for S3: AWS_ACCESS_KEY_ID and its
like, the profile in ~/.aws, the role of the machine), never from the URI, because URIs are printed
and stored. Another S3 than Amazon's is named in the URI,
`s3://bucket/path?endpoint_override=host:9000&scheme=http&region=us-east-1`, which holds for every
machine of a cluster, or by AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, which must then be set on each.
S3 is tested against a local server; `gs://` goes the same way through pyarrow and is not tested.
"""

import functools
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreUnreachable,
    patience,
)

S3_OPTIONS = (
    "endpoint_override",
    "scheme",
    "region",
    "allow_bucket_creation",
    "force_virtual_addressing",
)
TRIES = 2  # of the SDK for one request, e.g. one part of a large upload, before `persist` repeats the whole

_FORBIDDEN = re.compile(
    "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|MISSING_AUTHENTICATION_TOKEN"
    "|UNRECOGNIZED_CLIENT|NO_SUCH_BUCKET|HTTP status (301|401|403)|ExpiredToken|InvalidToken|AllAccessDisabled"
    "|Bucket '[^']*' not found|PERMISSION_DENIED|UNAUTHENTICATED|[Pp]ermission denied|bucket does not exist"
)
_FULL = re.compile("HTTP status 507|QuotaExceeded|InsufficientStorage|StorageFull")


def judge(error: OSError) -> type[StoreLost] | None:
    """What an error of pyarrow.fs means for the study directory; None: nothing. Unknown ones are
    worth another try."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return None
    text = str(error)
    if _FORBIDDEN.search(text) or isinstance(error, PermissionError):
        return StoreForbidden
    return StoreFull if _FULL.search(text) else StoreUnreachable


@dataclass(frozen=True)
class Address:
    """A bucket's URI, taken apart: `root` is the `bucket/path` that pyarrow wants, `user` only gs's
    `anonymous`."""

    scheme: str
    user: str
    root: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Take a URI apart.

        Raises:
            ValueError: there are credentials in it, or it names no bucket of a kind we know.
        """
        scheme, _, rest = uri.partition("://")
        rest, _, query = rest.partition("?")
        authority, slash, path = rest.partition("/")
        user, _, bucket = authority.rpartition("@")
        if user and (scheme == "s3" or user != "anonymous"):
            raise ValueError(
                f"a study directory's URI must not hold credentials, because it is printed and stored; write "
                f"{scheme}://{bucket}{slash}{path} and set them in the environment (AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY) or in a profile"
            )
        if scheme not in ("s3", "gs") or not bucket:
            place = f"{scheme}://{bucket}{slash}{path}"
            raise ValueError(
                f"a study directory is a path, s3://bucket/path or gs://bucket/path, but got '{place}'"
            )
        options = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
        for name, value in options if scheme == "s3" else ():
            if name not in S3_OPTIONS:
                raise ValueError(
                    f"the options of an s3:// URI are {', '.join(S3_OPTIONS)}, but got '{name}'"
                )
            if "/" in value:
                raise ValueError(
                    f"options of an s3:// URI hold no '/', but got {name}={value}; paths come before '?'"
                )
        return cls(scheme, user, unquote(f"{bucket}/{path}").strip("/"), options)

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.root.partition("/")[0]

    def __str__(self) -> str:
        """The URI without its options, to print."""
        return f"{self.scheme}://{self.root}"


@dataclass(frozen=True)
class Bucket:
    """The files below an address. Errors are those of pyarrow.fs, unjudged."""

    address: Address

    def write(self, path: str, content: bytes) -> None:
        """Publish a file; object stores show it when the upload is complete, never before."""
        with self._files().open_output_stream(self._key(path), compression=None) as stream:
            stream.write(content)

    def read(self, path: str) -> bytes:
        """The content of a file.

        pyarrow asks for the length first and then for so many bytes; of a file replaced in between
        by a shorter one it returns the rest as uninitialised memory, of a longer one a part. So it
        must be the same file afterwards, by its ETag and time. What this cannot see is a file
        replaced twice in one second, the second time by its old bytes; no two writers of a study do
        that, and rows carry a checksum of their own.
        """
        files, key = self._files(), self._key(path)
        with files.open_input_file(key) as stream:
            before, content = (stream.size(), stream.metadata()), bytes(stream.read())
        with files.open_input_file(key) as stream:
            after = (stream.size(), stream.metadata())
        if before != after or len(content) != before[0]:
            raise OSError(f"{path} was replaced while it was read")
        return content

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return bool(self._files().get_file_info(self._key(path)).is_file)

    def files(self, folder: str) -> list[str]:
        """Paths of all files below a folder, relative to it; the markers that stand for empty
        folders are none."""
        from pyarrow.fs import FileSelector

        top = self._key(folder)
        found = self._files().get_file_info(FileSelector(top, recursive=True, allow_not_found=True))
        return [info.path[len(top) + 1 :] for info in found if info.is_file]

    def delete(self, path: str) -> None:
        """Remove a file or a folder, if it is there."""
        from pyarrow.fs import FileType

        files, key = self._files(), self._key(path)
        try:
            kind = files.get_file_info(key).type
            if kind == FileType.Directory:
                files.delete_dir(key)
            elif kind == FileType.File:
                files.delete_file(key)
        except FileNotFoundError:
            return  # another process was faster

    def sweep(self) -> int:
        """Nothing to remove: uploads that were cut are no files, and a lifecycle rule of the bucket
        ends them."""
        return 0

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.address.root, path) if part not in ("", "."))

    def _files(self) -> Any:
        options = dict(self.address.options)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if self.address.scheme == "s3" and endpoint and "endpoint_override" not in options:
            parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
            options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        timeout = min(10.0, max(1.0, patience() / 6))
        return _connect(
            self.address.scheme,
            f"{self.address.user}@{self.address.bucket}".lstrip("@"),
            tuple(sorted(options.items())),
            timeout=timeout,
            process=os.getpid(),
        )


@functools.lru_cache(maxsize=32)
def _connect(
    scheme: str,
    authority: str,
    options: tuple[tuple[str, str], ...],
    *,
    timeout: float,
    process: int,
) -> Any:
    """A filesystem, made once per process: those of a parent do not survive a fork.

    Delayed opening and writing in the foreground are never asked for: with either, pyarrow (26)
    publishes an empty or shortened file when a part of an upload fails, because leaving the stream,
    even by an exception, completes it.
    """
    from pyarrow import fs

    given = dict(options)
    if scheme == "gs":
        query = urlencode({"retry_limit_seconds": f"{2 * timeout:.0f}", **given})
        return fs.FileSystem.from_uri(f"gs://{authority}?{query}")[0]
    if "region" not in given and "endpoint_override" not in given:
        given["region"] = fs.resolve_s3_region(authority)
    files = fs.S3FileSystem(
        region=given.get("region"),
        endpoint_override=given.get("endpoint_override"),
        scheme=given.get("scheme", "https"),
        force_virtual_addressing=_flag(given, "force_virtual_addressing"),
        allow_bucket_creation=_flag(given, "allow_bucket_creation"),
        background_writes=True,
        connect_timeout=timeout,
        request_timeout=timeout,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
    )
    if _flag(given, "allow_bucket_creation"):
        files.create_dir(authority)
    return files


def _flag(options: dict[str, str], name: str) -> bool:
    return options.get(name, "false").lower() in ("true", "1")
