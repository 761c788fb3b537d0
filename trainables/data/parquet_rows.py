"""The rows of Parquet files with images, as the Hugging Face Hub has them: a struct column with a
field "bytes", and an integer column of labels."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS, ParquetFiles
from trainables.data.error_text import one_line
from trainables.data.image_source import NO_TEST_SPLIT, ImageSource, Record

# Classes that any data set may have; more only with as many images. A network has a logit for each.
CLASSES = 1000
LABELS = ("label", "labels", "fine_label")  # names of the column, the first that is there
_ROWS = 64  # read at a time


def open_parquet(dataset: str, files: ParquetFiles) -> ImageSource:
    """The images of a data set in Parquet files.

    Raises:
        UserError: a file cannot be read, or a split has no rows.
    """
    rows = {path: count_rows(path) for path in (*files.train, *files.test)}
    counts = {
        split: sum(rows[path] for path in paths)
        for split, paths in (("train", files.train), ("test", files.test))
    }
    for split, paths in (("train", files.train), ("test", files.test)):
        if paths and not counts[split]:
            raise UserError(f"the {split} split must not be empty, but '{paths[0]}' has no rows")
    limit = label_limit(dataset, sum(rows.values()))
    return ImageSource(
        name=dataset,
        train=counts["train"],
        test=counts["test"],
        classes=DATASETS.get(dataset),
        records=partial(_read_records, dataset, rows, limit),
        class_names=read_class_names(files.train[0], dataset),
        notes=(*files.notes, *(() if files.test else (NO_TEST_SPLIT,))),
    )


def _read_records(dataset: str, rows: dict[Path, int], limit: int, start: int) -> Iterator[Record]:
    """The records from `start` on; whole files and groups of rows before it are not read."""
    for path, count in rows.items():
        skip = min(start, count)
        start -= skip
        if skip < count:
            for row, encoded, label in _read_rows(path, dataset, skip):
                where = f"'{path}', row {row}"
                yield Record(encoded, check_label(label, dataset, limit, where), where)


def _read_rows(
    path: Path, dataset: str, start: int
) -> Iterator[tuple[int, bytes | None, int | None]]:
    """Number, encoded image and label of each row from `start` on, read a few at a time."""
    with _opened(path) as file:
        columns = list(_find_columns(path, dataset, file.schema_arrow))
        first, groups = 0, list(range(file.num_row_groups))
        while groups and first + (size := file.metadata.row_group(groups[0]).num_rows) <= start:
            first += size
            groups.pop(0)
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns, row_groups=groups):
            images, labels = (batch[column].to_pylist() for column in columns)
            for row, (image, label) in enumerate(zip(images, labels, strict=True), first):
                if row >= start:
                    yield row, image and image["bytes"], label
            first += len(images)


def label_limit(dataset: str, images: int) -> int:
    """What all labels of a data set of so many images, of all splits, must be below.

    Classes are numbered from 0, so an own data set has at most as many of them as images; up to
    `CLASSES` there may be gaps, as in a part of ImageNet that keeps its numbers.
    """
    return DATASETS.get(dataset, max(CLASSES, images))


def check_label(label: int | None, dataset: str, limit: int, where: str) -> int:
    """A label that can be one.

    Raises:
        UserError: it is missing, negative, or not below the limit.
    """
    if label is not None and 0 <= label < limit:
        return label
    hint = "" if dataset in DATASETS else "; number the classes 0, 1, 2, ..."
    raise UserError(f"labels of '{dataset}' must be in [0, {limit}), but {where} has {label}{hint}")


def count_rows(path: Path) -> int:
    """Rows of a Parquet file, from its metadata.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read_labels(path: Path, dataset: str) -> list[int | None]:
    """The labels of a Parquet file, without its images.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    with _opened(path) as file:
        _, column = _find_columns(path, dataset, file.schema_arrow)
        labels: list[int | None] = file.read(columns=[column])[column].to_pylist()
    return labels


def read_class_names(path: Path, dataset: str) -> tuple[str, ...] | None:
    """The names of the classes in the metadata that the Hub's library writes; None without.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        _, column = _find_columns(path, dataset, schema)
    # Whatever else stands there is no reason to refuse the images.
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def iterate_images(path: Path, dataset: str) -> Iterator[bytes | None]:
    """The encoded image of each row of a Parquet file, read a few at a time.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    with _opened(path) as file:
        column, _ = _find_columns(path, dataset, file.schema_arrow)
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
            yield from (image and image["bytes"] for image in batch[0].to_pylist())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file to read from; what its damage raises becomes one line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Through a small buffer: a group of rows may be larger than the memory.
        yield pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    except UserError:
        raise
    # Damage to names of columns is a UnicodeDecodeError, which is a ValueError.
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise UserError(
            f"cannot read '{path}' as Parquet: {one_line(error)}; fetch it again"
        ) from error


def _find_columns(path: Path, dataset: str, schema: Any) -> tuple[str, str]:
    """The names of the columns with the images and with the labels.

    Raises:
        UserError: there is none.
    """
    import pyarrow as pa

    def holds_images(field: Any) -> bool:
        is_struct = pa.types.is_struct(field.type)
        return bool(is_struct and field.type.get_field_index("bytes") >= 0)

    image = next((field.name for field in schema if holds_images(field)), None)
    wanted = ("fine_label", "label") if dataset == "cifar100" else LABELS
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    label = next((column for column in wanted if column in integers), None)
    if image is None or label is None:
        there = ", ".join(f"{field.name}: {field.type}" for field in schema)
        others = " or ".join(f"'{name}'" for name in wanted[1:])
        raise UserError(
            "a Parquet file needs a struct column with a field 'bytes' and an integer column "
            f"'{wanted[0]}' (or {others}), but '{path}' has {there}"
        )
    return image, label
