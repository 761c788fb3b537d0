"""The rows of a Parquet file with images, as the Hugging Face Hub has them: a struct column with a
field "bytes", and an integer column of labels."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS, one_line

# Classes that any data set may have; more only with as many images. A network has a logit for each.
CLASSES = 1000
GREY = {"1", "L", "LA"}  # modes of Pillow without colours


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


def read_rows(path: Path, dataset: str) -> Iterator[tuple[bytes | None, int | None]]:
    """The encoded image and the label of each row of a Parquet file."""
    with _opened(path) as file:
        columns = _find_columns(path, dataset, file.schema_arrow)
        table = file.read(columns=list(columns))
        images, labels = (table[column].to_pylist() for column in columns)
    for image, label in zip(images, labels, strict=True):
        yield image and image["bytes"], label


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


def iterate_images(path: Path, dataset: str) -> Iterator[bytes | None]:
    """The encoded image of each row of a Parquet file, read a few at a time.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    with _opened(path) as file:
        column, _ = _find_columns(path, dataset, file.schema_arrow)
        for batch in file.iter_batches(batch_size=64, columns=[column]):
            yield from (image and image["bytes"] for image in batch[0].to_pylist())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file to read from; what its damage raises becomes one line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        yield pq.ParquetFile(path)
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
    wanted = ("fine_label", "label") if dataset == "cifar100" else ("label",)
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    label = next((column for column in wanted if column in integers), None)
    if image is None or label is None:
        there = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise UserError(
            "a Parquet file needs a struct column with a field 'bytes' and an integer column "
            f"'{wanted[0]}', but '{path}' has {there}"
        )
    return image, label


def decode_image(encoded: bytes | None, where: str) -> np.ndarray:
    """One image as uint8 [H, W] if grey, else [H, W, 3].

    Raises:
        UserError: it is none, is damaged, or has more than 8 bits a channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            mode = image.mode
            if mode not in {"F", "I"} and not mode.startswith("I;"):
                return np.asarray(image.convert("L" if mode in GREY else "RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        reason = "it is none" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise UserError(
            f"cannot decode the image in {where}: {reason}; fetch the file again"
        ) from error
    raise UserError(
        f"images must have 8 bits a channel, but {where} has mode '{mode}'; convert them"
    )


def has_colour(encoded: bytes | None) -> bool:
    """Whether an image has colours, from its header; one that is damaged has none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            return image.mode not in GREY
    except Exception:  # Pillow's decoders raise nearly anything; `decode_image` will say it
        return False
