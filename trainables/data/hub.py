"""Data sets of the Hugging Face Hub: which Parquet files of a repository belong to which split, and
their download through `huggingface_hub` (extra `hub`)."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pruning.user_error import UserError
from trainables.data.catalog import HubDataSet, ParquetFiles
from trainables.data.error_text import one_line
from trainables.data.parquet_rows import read_labels

_T = TypeVar("_T")
# Every data set of the Hub, converted by the Hub itself, whatever its files are.
_CONVERTED = "refs/convert/parquet"
_VALIDATION = ("validation", "valid", "val", "dev")
_SPLITS = ("train", "test", *_VALIDATION)
_NO_FOLDERS = ("", "data")  # where files of a repository with one configuration lie


@lru_cache(maxsize=8)
def download_parquet(data_set: HubDataSet) -> ParquetFiles:
    """The files of a data set in the Hub's own cache, downloaded unless they are there. Without a
    network the newest snapshot in the cache is taken.

    Raises:
        UserError: `huggingface_hub` is not installed, the repository cannot be had, has no images
            in Parquet, or has several configurations and none was chosen.
    """
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise UserError(
            f"'hf:{data_set.repository}' needs the package huggingface_hub: "
            "pip install --editable '.[hub]' in the checkout, or pip install huggingface_hub"
        ) from error
    revision = None
    chosen = choose_files(data_set, _list_files(hub, data_set, revision))
    if not chosen:
        revision = _CONVERTED
        with suppress(UserError):  # not every repository has been converted
            chosen = choose_files(data_set, _list_files(hub, data_set, revision))
    if chosen:
        return _fetch_labelled(hub, data_set, revision, *chosen)
    raise UserError(
        f"'hf:{data_set.repository}' has no Parquet files of a split 'train'; give the images "
        "as folders or Parquet files by --data-dir"
    )


def choose_files(
    data_set: HubDataSet, names: Sequence[str]
) -> tuple[list[str], list[str], list[str]] | None:
    """The Parquet files of the splits train, test and validation among the names of files; None
    where there are none for training.

    Raises:
        UserError: they belong to several configurations and none was chosen, or it is not there.
    """
    by_configuration: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names):
        if placed := _place(PurePosixPath(name)):
            configuration, split = placed
            by_configuration.setdefault(configuration, {}).setdefault(split, []).append(name)
    there = {name: splits for name, splits in by_configuration.items() if "train" in splits}
    wanted = data_set.configuration
    if not there:
        return None
    if wanted is None and len(there) > 1:
        wanted = "default" if "default" in there else "" if "" in there else None
    if (wanted is None and len(there) > 1) or (wanted is not None and wanted not in there):
        choice = ", ".join(f"hf:{data_set.repository}:{name}" for name in there if name)
        raise UserError(
            f"'hf:{data_set.repository}' has "
            + (f"no configuration '{wanted}'; " if wanted else "several configurations; ")
            + (f"choose one of {choice}" if choice else "leave it out")
        )
    splits = there[wanted] if wanted is not None else next(iter(there.values()))
    validation = next((splits[name] for name in _VALIDATION if name in splits), [])
    return splits["train"], splits.get("test", []), validation


def _place(path: PurePosixPath) -> tuple[str, str] | None:
    """The configuration ("" where there are none) and the split that a file belongs to: of
    `CONFIGURATION/train-00000-of-00002.parquet`, or `CONFIGURATION/train/0000.parquet`."""
    if path.suffix != ".parquet":
        return None
    for name, folder in ((path.name, path.parent), (path.parent.name, path.parent.parent)):
        for split in _SPLITS:
            if name == split or name.startswith((f"{split}-", f"{split}.", f"{split}_")):
                configuration = folder.as_posix().strip(".")
                return ("" if configuration in _NO_FOLDERS else configuration), split
    return None


def _fetch_labelled(
    hub: Any,
    data_set: HubDataSet,
    revision: str | None,
    train: list[str],
    test: list[str],
    validation: list[str],
) -> ParquetFiles:
    """The files, with those of the validation as test where the test split is missing or, as that
    of ImageNet, has no labels."""

    def fetch(names: list[str]) -> tuple[Path, ...]:
        folder = _fetch(hub, data_set, revision, names)
        return tuple(folder / name for name in names)

    trained, tested = fetch(train), fetch(test) if test else ()
    if tested:
        labels = read_labels(tested[0], f"hf:{data_set.repository}")
        if any(label is not None and label >= 0 for label in labels):
            return ParquetFiles(trained, tested)
    why = "the test split has no labels" if test else "there is no test split"
    if validation:
        note = f"{why}: the validation split is taken for it"
        return ParquetFiles(trained, fetch(validation), (note,))
    # What becomes of a missing one is said where the split is made.
    return ParquetFiles(trained, (), (why,) if test else ())


def _list_files(hub: Any, data_set: HubDataSet, revision: str | None) -> list[str]:
    """The names of all files of a repository; without a network, of those in the cache."""

    def ask() -> list[str]:
        api = hub.HfApi()
        return list(
            api.list_repo_files(data_set.repository, repo_type="dataset", revision=revision)
        )

    def read_cache() -> list[str]:
        folder = Path(
            hub.snapshot_download(
                data_set.repository, repo_type="dataset", revision=revision, local_files_only=True
            )
        )
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]

    return _try_both(data_set, ask, read_cache)


def _fetch(hub: Any, data_set: HubDataSet, revision: str | None, names: list[str]) -> Path:
    """The folder of a snapshot that has the files of these names."""

    def fetch(*, offline: bool) -> Path:
        return Path(
            hub.snapshot_download(
                data_set.repository,
                repo_type="dataset",
                revision=revision,
                allow_patterns=names,
                local_files_only=offline,
            )
        )

    return _try_both(data_set, lambda: fetch(offline=False), lambda: fetch(offline=True))


def _try_both(data_set: HubDataSet, online: Callable[[], _T], offline: Callable[[], _T]) -> _T:
    """The answer of the Hub, else that of the cache."""
    try:
        return online()
    # What the Hub's library raises depends on its version and on how the network fails.
    except Exception as error:
        try:
            return offline()
        except Exception:
            raise UserError(
                f"cannot download 'hf:{data_set.repository}' ({one_line(error)[:200]}); check its "
                "name, connect to the network, or give its files by --data-dir"
            ) from error
