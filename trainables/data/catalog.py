"""Which data sets there are: those known by name, and those in Parquet files of the user.

Imports nothing heavy.
"""

import hashlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pruning.user_error import UserError

# By name: how many classes.
DATASETS = {"digits": 10, "cifar10": 10, "cifar100": 100, "mnist": 10, "fashion_mnist": 10}
# By name: the class of torchvision that downloads it.
TORCHVISION = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
}


@dataclass(frozen=True)
class ParquetFiles:
    """The Parquet files of a data set in the order in which they are read."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


def check_data_set_name(dataset: str, *, known: bool) -> None:
    """Check that a data set can have this name; with `known`, that it is one that needs no folder
    of the user's.

    Raises:
        UserError: it is not; the message names the nearest one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{,99}", dataset):
        raise UserError(
            "the name of a data set must be at most 100 letters, digits, '_', '-' and '.', "
            f"and begin with none of the last two, but got '{dataset}'"
        )
    if known and dataset not in DATASETS:
        near = get_close_matches(dataset, DATASETS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(DATASETS)}"
        raise UserError(
            f"no data set '{dataset}'; {hint} (any other name needs --data-dir with Parquet files)"
        )


def check_data_set(dataset: str, data_dir: str | Path | None = None) -> None:
    """Check that a data set exists, as far as names and folders say; no file is read.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    find_parquet_files(dataset, data_dir)


def find_parquet_files(dataset: str, data_dir: str | Path | None) -> ParquetFiles | None:
    """The Parquet files of a data set below `data_dir`, or None where it needs none: no folder
    given, or digits.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    check_data_set_name(dataset, known=data_dir is None)
    if data_dir is None:
        return None
    top = _check_folder(data_dir)
    if dataset == "digits":
        return None
    for folder in (top / dataset, top / dataset / "data", top, top / "data"):
        train, test = (
            tuple(sorted(folder.glob(f"{split}*.parquet"))) for split in ("train", "test")
        )
        if train and test:
            return ParquetFiles(train, test)
    without = f" or leave out --data-dir to download '{dataset}'" if dataset in TORCHVISION else ""
    raise UserError(
        f"no train*.parquet and test*.parquet of '{dataset}' in '{data_dir}', its 'data', "
        f"its '{dataset}' or its '{dataset}/data'; put them there{without}"
    )


def _check_folder(data_dir: str | Path) -> Path:
    """The folder of the user's data.

    Raises:
        UserError: it is none.
    """
    folder = Path(data_dir).expanduser()
    try:
        if not folder.is_dir():
            is_there = "a file" if folder.exists() else "missing"
            raise UserError(f"--data-dir must be a folder, but '{data_dir}' is {is_there}")
    except OSError as error:  # a name that is too long, or a folder above that is closed to us
        raise UserError(
            f"--data-dir must be a folder, but '{data_dir}': {error.strerror}"
        ) from error
    return folder


def fingerprint_files(files: ParquetFiles | None) -> str:
    """16 hex digits that change when a Parquet file changes in name or content; downloads never
    change.

    Raises:
        UserError: a file cannot be read.
    """
    state = hashlib.sha256()
    for path in (*files.train, *files.test) if files else ():
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"cannot read '{path}': {one_line(error)}") from error
        state.update(f"{path.name} {content}\n".encode())
    return state.hexdigest()[:16]


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
