"""Which data sets there are: those known by name, those on the Hugging Face Hub, and those of the
user in Parquet files or in folders of image files.

Imports nothing heavy.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pruning.entry_points import find_entry_point, list_entry_points, load_function
from pruning.user_error import UserError, nearest
from trainables.data.error_text import one_line
from trainables.data.image_folders import find_image_folders

# By name: how many classes.
DATASETS = {"digits": 10, "cifar10": 10, "cifar100": 100, "mnist": 10, "fashion_mnist": 10}
DATASETS |= {"svhn": 10, "stl10": 10, "food101": 101, "flowers102": 102, "oxford_iiit_pet": 37}
DATASETS |= {"imagenette": 10}
# By name: the class of torchvision that downloads it.
TORCHVISION = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "svhn": "SVHN",
    "stl10": "STL10",
    "food101": "Food101",
    "flowers102": "Flowers102",
    "oxford_iiit_pet": "OxfordIIITPet",
    "imagenette": "Imagenette",
}
HUB = "hf:"  # begins the names of data sets on the Hugging Face Hub
# Parquet files of at most so many bytes together are compared by content.
HASHED_WHOLE = 2**30
_END = 2**16  # bytes of the beginning and of the end of a larger file that are compared


@dataclass(frozen=True)
class ParquetFiles:
    """The Parquet files of a data set in the order in which they are read.

    test: empty where a fixed part of the images is to be the test split; only data sets of the Hub
    may lack it. notes: what is to be said of the choice of files.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageFolders:
    """The folders of a data set with one folder per class in each; `test` is None where a fixed
    part of the images is to be the test split."""

    train: Path
    test: Path | None


@dataclass(frozen=True)
class HubDataSet:
    """A data set on the Hugging Face Hub: `<owner>/<name>`, and which of its configurations."""

    repository: str
    configuration: str | None


def check_data_set_name(dataset: str, *, known: bool) -> None:
    """Check that a data set can have this name; with `known`, that it is one that needs no folder
    of the user's.

    Raises:
        UserError: it is not; the message names the nearest one.
    """
    if dataset.startswith(HUB):
        parse_hub_name(dataset)
        return
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{,99}", dataset):
        raise UserError(
            "the name of a data set must be at most 100 letters, digits, '_', '-' and '.', "
            f"and begin with none of the last two, or be 'hf:OWNER/NAME', but got '{dataset}'"
            f"{_as_folder(dataset)}"
        )
    if known and not (dataset in DATASETS or _is_announced(dataset)):
        names = [*DATASETS, *list_entry_points("datasets")]
        raise UserError(
            f"no data set '{dataset}'{nearest(dataset, names)} (any other name needs "
            "data_dir, or --data-dir, with image folders or Parquet files, or is 'hf:OWNER/NAME' "
            "on the Hugging Face Hub)"
        )


def _is_announced(dataset: str) -> bool:
    """Whether an installed package has a data set of this name.

    Raises:
        UserError: the project has one, too.
    """
    return bool(find_entry_point("datasets", dataset, built_in=dataset in DATASETS))


def _as_folder(dataset: str) -> str:
    """The end of the error line for a path: its two fields."""
    folder, slash, name = dataset.rstrip("/").rpartition("/")
    if not slash or not name:
        return ""
    return f"; a folder of your own is data_dir: {folder or '/'} and dataset: {name}"


def parse_hub_name(dataset: str) -> HubDataSet:
    """The parts of `hf:OWNER/NAME` or `hf:OWNER/NAME:CONFIGURATION`.

    Raises:
        UserError: it is not of that form.
    """
    part = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
    found = re.fullmatch(rf"{HUB}({part}(?:/{part})?)(?::({part}))?", dataset)
    if not found:
        raise UserError(
            "a data set of the Hugging Face Hub is named hf:OWNER/NAME or "
            f"hf:OWNER/NAME:CONFIGURATION, but got '{dataset}'"
        )
    return HubDataSet(found[1], found[2])


def file_name(dataset: str) -> str:
    """The name of a data set as part of the name of a file."""
    return re.sub(r"[:/]", "-", dataset)


def check_data_set(dataset: str, data_dir: str | Path | None = None) -> None:
    """Check that a data set exists, as far as names and folders say; no file is read.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    find_files(dataset, data_dir)


def find_files(
    dataset: str, data_dir: str | Path | None
) -> ParquetFiles | ImageFolders | HubDataSet | None:
    """Where the images of a data set lie: below `data_dir`, or on the Hub; None where it needs no
    folder: none given, or digits. Parquet files go before folders.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    check_data_set_name(dataset, known=data_dir is None)
    if data_dir is None and _is_announced(dataset):
        data_dir = _call_for_folder(dataset)
    if dataset.startswith(HUB):
        return parse_hub_name(dataset)
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
    for folder in (top / dataset, top):
        if found := find_image_folders(folder):
            return ImageFolders(*found)
    without = f" or leave out --data-dir to download '{dataset}'" if dataset in TORCHVISION else ""
    raise UserError(
        f"no train*.parquet and test*.parquet of '{dataset}' in '{data_dir}', its 'data', "
        f"its '{dataset}' or its '{dataset}/data', and no folders train/CLASS with images in the "
        f"first or the third; put them there{without}"
    )


def _call_for_folder(dataset: str) -> Path:
    """The folder of a data set that an installed package announces, by its function.

    Raises:
        UserError: the function fails, or returns no path.
    """
    try:
        folder = load_function("datasets", dataset)()
    except UserError:
        raise
    except Exception as error:  # code of others may fail in any way
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"data set '{dataset}' of an installed package: {reason}") from error
    if not isinstance(folder, str | Path):
        raise UserError(
            f"data set '{dataset}' of an installed package must be a folder, "
            f"but its function returns {type(folder).__name__}"
        )
    return Path(folder)


def _check_folder(data_dir: str | Path) -> Path:
    """The folder of the user's data.

    Raises:
        UserError: it is none.
    """
    folder = Path(data_dir).expanduser()
    try:
        if not folder.is_dir():
            is_there = "a file" if folder.exists() else "missing"
            raise UserError(
                f"data_dir, or --data-dir, must be a folder, but '{data_dir}' is {is_there}"
            )
    except OSError as error:  # a name that is too long, or a folder above that is closed to us
        raise UserError(
            f"data_dir, or --data-dir, must be a folder, but '{data_dir}': {error.strerror}"
        ) from error
    return folder


def fingerprint_files(files: ParquetFiles | None) -> str:
    """16 hex digits that change when a Parquet file changes; downloads by name never change.

    Up to 1 GiB together, name and content of all files are compared. Reading more than that in
    every process would take minutes, so that of larger sets it is name, size, time of change, and
    the first and last 64 KiB of each, where Parquet keeps its own table of contents.

    Raises:
        UserError: a file cannot be read.
    """
    state = hashlib.sha256()
    paths = (*files.train, *files.test) if files else ()
    try:
        whole = sum(path.stat().st_size for path in paths) <= HASHED_WHOLE
        for path in paths:
            state.update(f"{path.name} {_digest(path, whole=whole)}\n".encode())
    except OSError as error:
        raise UserError(f"cannot read '{error.filename}': {one_line(error)}") from error
    return state.hexdigest()[:16]


def _digest(path: Path, *, whole: bool) -> str:
    with path.open("rb") as stream:
        if whole:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        facts = path.stat()
        ends = stream.read(_END)
        stream.seek(max(0, facts.st_size - _END))
        ends += stream.read(_END)
    return f"{facts.st_size} {facts.st_mtime_ns} {hashlib.sha256(ends).hexdigest()}"
