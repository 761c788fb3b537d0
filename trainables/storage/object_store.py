"""A study directory in a bucket: `s3://` or `gs://`, through pyarrow.fs.

Credentials come from where the SDK of the cloud looks for them (for S3: AWS_ACCESS_KEY_ID and its
like, the profile in ~/.aws, the role of the machine). Another S3 than Amazon's is named in the URI,
`s3://bucket/path?endpoint_override=host:9000&scheme=http&region=us-east-1`, which holds for every
machine of a cluster, or by AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, which must then be set on each.
S3 is tested against a local server; `gs://` goes the same way through pyarrow and is not tested.
"""

import functools
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from trainables.storage.bucket_uri import BucketUri
from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreUnreachable,
    retry_seconds,
)

# Attempts of the SDK for one request, e.g. one part of a large upload, before
# `retry_with_backoff` repeats the whole.
ATTEMPTS = 2

_FORBIDDEN = re.compile(
    "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH"
    "|MISSING_AUTHENTICATION_TOKEN|UNRECOGNIZED_CLIENT|NO_SUCH_BUCKET|HTTP status (301|401|403)"
    "|ExpiredToken|InvalidToken|AllAccessDisabled|Bucket '[^']*' not found|PERMISSION_DENIED"
    "|UNAUTHENTICATED|[Pp]ermission denied|bucket does not exist"
)
_FULL = re.compile("HTTP status 507|QuotaExceeded|InsufficientStorage|StorageFull")


def classify_bucket_error(error: OSError) -> type[StoreLost] | None:
    """What an error of pyarrow.fs means for the study directory; None: nothing. Unknown ones are
    worth a retry."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return None
    text = str(error)
    if _FORBIDDEN.search(text) or isinstance(error, PermissionError):
        return StoreForbidden
    return StoreFull if _FULL.search(text) else StoreUnreachable


@dataclass(frozen=True)
class Bucket:
    """The files below a URI. Errors are those of pyarrow.fs, as they come."""

    uri: BucketUri

    def write(self, path: str, content: bytes) -> None:
        """Publish a file; object stores show it when the upload is complete, never before."""
        with self._open_filesystem().open_output_stream(
            self._key(path), compression=None
        ) as stream:
            stream.write(content)

    def read(self, path: str) -> bytes:
        """The content of a file.

        pyarrow asks for the length first and then for so many bytes; of a file replaced in between
        by a shorter one it returns the rest as uninitialised memory, of a longer one a part. So it
        must be the same file afterwards, by its ETag and time. What this cannot see is a file
        replaced twice in one second, the second time by its old bytes; no two writers of a study do
        that, and rows carry a checksum of their own.
        """
        files, key = self._open_filesystem(), self._key(path)
        with files.open_input_file(key) as stream:
            before, content = (stream.size(), stream.metadata()), bytes(stream.read())
        with files.open_input_file(key) as stream:
            after = (stream.size(), stream.metadata())
        if before != after or len(content) != before[0]:
            raise OSError(f"{path} was replaced while it was read")
        return content

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return bool(self._open_filesystem().get_file_info(self._key(path)).is_file)

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, relative to it; the markers that stand for empty
        folders are none."""
        from pyarrow.fs import FileSelector

        top = self._key(folder)
        found = self._open_filesystem().get_file_info(
            FileSelector(top, recursive=True, allow_not_found=True)
        )
        return [info.path[len(top) + 1 :] for info in found if info.is_file]

    def delete(self, path: str) -> None:
        """Remove a file or a folder, if it is there."""
        from pyarrow.fs import FileType

        files, key = self._open_filesystem(), self._key(path)
        try:
            kind = files.get_file_info(key).type
            if kind == FileType.Directory:
                files.delete_dir(key)
            elif kind == FileType.File:
                files.delete_file(key)
        except FileNotFoundError:
            return  # another process was faster

    def delete_abandoned_files(self) -> int:
        """Nothing to remove: uploads that were cut are no files, and a lifecycle rule of the bucket
        ends them."""
        return 0

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.uri.root, path) if part not in ("", "."))

    def _open_filesystem(self) -> Any:
        options = dict(self.uri.options)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if self.uri.scheme == "s3" and endpoint and "endpoint_override" not in options:
            parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
            options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        timeout = min(10.0, max(1.0, retry_seconds() / 6))
        return _connect(
            self.uri.scheme,
            f"{self.uri.user}@{self.uri.bucket}".lstrip("@"),
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
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    if _flag(given, "allow_bucket_creation"):
        files.create_dir(authority)
    return files


def _flag(options: dict[str, str], name: str) -> bool:
    return options.get(name, "false").lower() in ("true", "1")
