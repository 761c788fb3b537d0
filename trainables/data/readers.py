"""Where images come from: Parquet in the layout of the Hugging Face Hub, torchvision's downloads,
scikit-learn.

Every source gives a training and a test split as arrays. torchvision is imported only inside the
function that downloads, torch nowhere.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from pruning.user_error import UserError

DATASETS = {
    "digits": 10,
    "cifar10": 10,
    "cifar100": 100,
    "mnist": 10,
    "fashion_mnist": 10,
}  # name: classes
TORCHVISION = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
}
SPLIT_SEED = 20240229  # of the fixed splits, which must not change with a study's seeds


@dataclass(frozen=True)
class Images:
    """One split: uint8 [N, H, W, C] and int64 [N]."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Shards:
    """The Parquet files of a data set in the order in which they are read."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


def check_name(dataset: str, *, known: bool) -> None:
    """Whether a data set can have this name; with `known`, whether it is one that needs no folder
    of the user's.

    Raises:
        UserError: it cannot; the message names the nearest one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{,99}", dataset):
        raise UserError(
            "the name of a data set must be at most 100 letters, digits, '_', '-' and '.', and begin with none of the "
            f"last two, but got '{dataset}'"
        )
    if known and dataset not in DATASETS:
        near = get_close_matches(dataset, DATASETS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(DATASETS)}"
        raise UserError(
            f"no data set '{dataset}'; {hint} (any other name needs --data-dir with Parquet files)"
        )


def find(dataset: str, data_dir: str | Path | None) -> Shards | None:
    """The Parquet files of a data set below `data_dir`, or None where it needs none: no folder
    given, or digits.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    check_name(dataset, known=data_dir is None)
    if data_dir is None:
        return None
    top = Path(data_dir).expanduser()
    try:
        if not top.is_dir():
            found = "a file" if top.exists() else "missing"
            raise UserError(f"--data-dir must be a folder, but '{data_dir}' is {found}")
    except OSError as error:  # a name that is too long, a folder above that is closed to us
        raise UserError(
            f"--data-dir must be a folder, but '{data_dir}': {error.strerror}"
        ) from error
    if dataset == "digits":
        return None
    for folder in (top / dataset, top / dataset / "data", top, top / "data"):
        train, test = (
            tuple(sorted(folder.glob(f"{split}*.parquet"))) for split in ("train", "test")
        )
        if train and test:
            return Shards(train, test)
    raise UserError(
        f"no train*.parquet and test*.parquet of '{dataset}' in '{data_dir}', its 'data', its '{dataset}' or its "
        f"'{dataset}/data'; put them there"
        + (f" or leave out --data-dir to download '{dataset}'" if dataset in TORCHVISION else "")
    )


def fingerprint(shards: Shards | None) -> str:
    """16 hex digits that change when a Parquet file changes in name or content; downloads never
    change.

    Raises:
        UserError: a file cannot be read.
    """
    state = hashlib.sha256()
    for path in (*shards.train, *shards.test) if shards else ():
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"cannot read '{path}': {_one_line(error)}") from error
        state.update(f"{path.name} {content}\n".encode())
    return state.hexdigest()[:16]


def read(dataset: str, shards: Shards | None, *, downloads: Path) -> tuple[Images, Images]:
    """The training and test split of a data set that `find` has accepted; torchvision's files go to
    `downloads`.

    Raises:
        UserError: a file is damaged or in another layout, or the download fails.
    """
    if shards:
        return _parquet(dataset, shards)
    return _digits() if dataset == "digits" else _torchvision(dataset, downloads)


def choose(total: int, count: int) -> np.ndarray:
    """A fixed random choice of `count` of `total` images as a bool array [total]; the same on every
    machine."""
    chosen = np.zeros(total, dtype=bool)
    # RandomState's streams are frozen by numpy's policy, those of its and torch's generators are
    # not.
    chosen[np.random.RandomState(SPLIT_SEED).permutation(total)[:count]] = True
    return chosen


def _digits() -> tuple[Images, Images]:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    y = bunch.target.astype(np.int64)
    test = choose(len(x), len(x) // 5)
    return Images(x[~test], y[~test]), Images(x[test], y[test])


def _torchvision(dataset: str, downloads: Path) -> tuple[Images, Images]:
    try:
        from torchvision import datasets
    except (
        ImportError,
        RuntimeError,
        AttributeError,
    ) as error:  # it is not there, or fits another torch
        raise UserError(
            f"torchvision, which downloads '{dataset}', cannot be imported ({_one_line(error)}); install the one that "
            "fits this torch, or give Parquet files by --data-dir"
        ) from error
    kind = getattr(datasets, TORCHVISION[dataset])
    try:
        splits = [kind(str(downloads), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"torchvision cannot download '{dataset}' ({_one_line(error)}); "
            "give Parquet files by --data-dir or connect to the network"
        ) from error
    pairs = [
        (np.asarray(split.data), np.asarray(split.targets, dtype=np.int64)) for split in splits
    ]
    train, test = (
        Images(np.ascontiguousarray(x if x.ndim == 4 else x[..., None]), y) for x, y in pairs
    )
    return train, test


def _parquet(dataset: str, shards: Shards) -> tuple[Images, Images]:
    size: tuple[int, int] | None = None
    pictures: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for split, paths in (("train", shards.train), ("test", shards.test)):
        for path in paths:
            for row, (encoded, label) in enumerate(_rows(path, dataset)):
                where = f"'{path}', row {row}"
                picture = _decode(encoded, where)
                size = size or picture.shape[:2]
                if picture.shape[:2] != size:
                    raise UserError(
                        f"all images must have one size, {size[0]}x{size[1]} as the first, but {where} is "
                        f"{picture.shape[0]}x{picture.shape[1]}; resize them"
                    )
                limit = DATASETS.get(dataset, 2**31)
                if label is None or not 0 <= label < limit:
                    raise UserError(
                        f"labels of '{dataset}' must be in [0, {limit}), but {where} has {label}"
                    )
                pictures[split].append(picture)
                labels[split].append(label)
        if not pictures[split]:
            raise UserError(f"the {split} split must not be empty, but '{paths[0]}' has no rows")
    # Grey only where all are grey: a colour data set may hold grey images, in any place.
    colour = any(picture.ndim == 3 for split in pictures.values() for picture in split)
    train, test = (
        Images(_stack(pictures[split], colour), np.array(labels[split], dtype=np.int64))
        for split in ("train", "test")
    )
    return train, test


def _rows(path: Path, dataset: str) -> Iterator[tuple[bytes | None, int | None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        fields = list(file.schema_arrow)
        image = next(
            (
                f.name
                for f in fields
                if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0
            ),
            None,
        )
        wanted = ("fine_label", "label") if dataset == "cifar100" else ("label",)
        integers = [f.name for f in fields if pa.types.is_integer(f.type)]
        label = next((name for name in wanted if name in integers), None)
        if image is None or label is None:
            raise UserError(
                f"a Parquet file needs a struct column with a field 'bytes' and an integer column "
                f"'{wanted[0]}', but '{path}' has {', '.join(f'{f.name}: {f.type}' for f in fields)}"
            )
        table = file.read(columns=[image, label])
        images, labels = table[image].to_pylist(), table[label].to_pylist()
    except UserError:
        raise
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        LookupError,
    ) as error:  # damage to names is a UnicodeDecodeError
        raise UserError(
            f"cannot read '{path}' as Parquet: {_one_line(error)}; fetch it again"
        ) from error
    for item, number in zip(images, labels, strict=True):
        yield item and item["bytes"], number


def _decode(encoded: bytes | None, where: str) -> np.ndarray:
    """One image as uint8 [H, W] if grey, else [H, W, 3]."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            mode = image.mode
            if mode not in {"F", "I"} and not mode.startswith("I;"):
                return np.asarray(image.convert("L" if mode in {"1", "L", "LA"} else "RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        reason = "it is none" if isinstance(error, UnidentifiedImageError) else _one_line(error)
        raise UserError(
            f"cannot decode the image in {where}: {reason}; fetch the file again"
        ) from error
    raise UserError(
        f"images must have 8 bits a channel, but {where} has mode '{mode}'; convert them"
    )


def _stack(pictures: Sequence[np.ndarray], colour: bool) -> np.ndarray:
    if not colour:
        return np.stack(pictures)[..., None]
    return np.stack([p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
