"""Folders of image files, one folder per class: the layout of torchvision's ImageFolder, and of
ImageNet and Tiny ImageNet as they are unpacked.

Imports nothing heavy.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pruning.user_error import UserError
from trainables.data.error_text import one_line

# As in torchvision.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("test", "val", "validation", "valid")  # the first with classes of the training
_ANNOTATIONS = "val_annotations.txt"  # Tiny ImageNet's, beside val/images


@dataclass(frozen=True)
class ClassFolder:
    """The image files of one class in one split: `names` are paths within `folder`, sorted."""

    folder: Path
    label: int
    names: tuple[str, ...]

    def paths(self) -> Iterator[Path]:
        """The files, with their folder."""
        return (self.folder / name for name in self.names)


@dataclass(frozen=True)
class FolderListing:
    """All image files of a data set in folders, listed and not read.

    test: empty where there is no such folder. skipped: files that are no images by their names.
    loose: images that lie in no folder of a class. unread: other folders with classes of the
    training, beside it.
    """

    classes: tuple[str, ...]
    train: tuple[ClassFolder, ...]
    test: tuple[ClassFolder, ...]
    test_folder: Path | None
    skipped: int
    fingerprint: str
    loose: int = 0
    unread: tuple[str, ...] = ()

    def count(self, split: tuple[ClassFolder, ...]) -> int:
        """How many files a split has."""
        return sum(len(folder.names) for folder in split)

    def tested_classes(self) -> set[str]:
        """The classes that have test images."""
        return {self.classes[folder.label] for folder in self.test}


def find_image_folders(top: Path) -> tuple[Path, Path | None] | None:
    """The folder of the training images below `top` and that of the test images; None where there
    are no image folders. `top` itself may hold the classes; then nothing is set apart for tests.

    Only names are looked at, and at most one image per class is looked for.
    """
    train = top / "train"
    if _holds_classes(train, _holds_image):
        return train, _find_test(top, train)
    return (top, None) if _holds_classes(top, _holds_image_itself) else None


def list_images(train: Path, test: Path | None) -> FolderListing:
    """List the files of a data set that `find_image_folders` found.

    Raises:
        UserError: a folder cannot be read; there is one class alone; a class has no images, or has
            them for tests only.
    """
    state = hashlib.sha256()
    try:
        names = _subfolders(train)
        if len(names) == 1:
            raise UserError(
                f"'{train}' has the images of one class alone, '{names[0]}'; a folder for each "
                "class belongs in it, two at least"
            )
        labels = {name: label for label, name in enumerate(names)}
        skipped = 0
        trained, tested = [], []
        for name in names:
            found, other = _list_files(train / name, state, f"train/{name}")
            if not found:
                raise UserError(
                    f"the class folder '{train / name}' holds no images; fill it or remove it"
                )
            trained.append(ClassFolder(train / name, labels[name], found))
            skipped += other
        if test is not None and (test / _ANNOTATIONS).is_file():
            tested = list(_read_annotations(test, labels, state))
        elif test is not None:
            for name in _subfolders(test):
                found, other = _list_files(test / name, state, f"test/{name}")
                skipped += other
                if found and name not in labels:
                    raise UserError(
                        f"'{test / name}' holds test images of a class that '{train}' does not "
                        "have; remove that folder or add the class"
                    )
                if found:
                    tested.append(ClassFolder(test / name, labels[name], found))
        loose = sum(_is_image(name) for top in (train, test) if top for name in os.listdir(top))
        unread = _find_unread(train, test)
    except OSError as error:
        raise UserError(f"cannot list the images in '{train.parent}': {one_line(error)}") from error
    return FolderListing(
        names,
        tuple(trained),
        tuple(tested),
        test,
        skipped,
        state.hexdigest()[:16],
        loose,
        unread,
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".")  # macOS's ._* among them


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(EXTENSIONS)


def _subfolders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if not _is_hidden(e.name) and e.is_dir()))


def _holds_classes(folder: Path, holds_image: Callable[[Path], bool]) -> bool:
    """Whether some folder in `folder` holds an image."""
    try:
        return any(holds_image(folder / name) for name in _subfolders(folder))
    except OSError:
        return False


def _holds_image(folder: Path) -> bool:
    """At any depth, as ImageFolder reads it."""
    return any(_is_image(name) for _, _, names in _walk(folder) for name in names)


def _holds_image_itself(folder: Path) -> bool:
    """Not deeper, so that a folder of projects is not taken for one of classes."""
    return any(_is_image(name) for name in os.listdir(folder))


def _find_test(top: Path, train: Path) -> Path | None:
    """The folder of the test images. The first choice is one with classes of the training: those of
    ImageNet's and Tiny ImageNet's test images, which have no labels, lie in a folder of none."""
    classes = set(_subfolders(train))
    found = [top / name for name in TEST_FOLDERS if _is_test(top / name)]
    labelled = (
        folder
        for folder in found
        if (folder / _ANNOTATIONS).is_file() or not classes.isdisjoint(_subfolders(folder))
    )
    return next(labelled, found[0] if found else None)


def _find_unread(train: Path, test: Path | None) -> tuple[str, ...]:
    """Folders beside that of the training images which hold classes of it, and are not read: a
    second split, or one whose name is not known."""
    if train.name != "train":
        return ()
    classes, found = set(_subfolders(train)), []
    for name in _subfolders(train.parent):
        folder = train.parent / name
        try:
            if folder not in (train, test) and not classes.isdisjoint(_subfolders(folder)):
                found.append(name)
        except OSError:  # closed to us, so that it is none of ours
            continue
    return tuple(found)


def _is_test(folder: Path) -> bool:
    return (folder / _ANNOTATIONS).is_file() or _holds_classes(folder, _holds_image)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` that follows links, without hidden folders and links to a folder that holds them,
    in sorted order."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        inside = (name for name in folders if not _is_hidden(name))
        folders[:] = sorted(name for name in inside if not _leads_back(place, name))
        yield place, folders, sorted(names)


def _leads_back(place: str, name: str) -> bool:
    """Whether a folder in `place` is a link to `place` or to what holds it: images found through it
    would be counted again and again."""
    path = os.path.join(place, name)
    return os.path.islink(path) and Path(place).resolve().is_relative_to(Path(path).resolve())


def _list_files(folder: Path, state: "hashlib._Hash", where: str) -> tuple[tuple[str, ...], int]:
    """The image files in a folder at any depth, and how many others there are that are not hidden;
    name, size and time of change of each are added to the fingerprint."""
    found, others = [], 0
    for place, _, names in _walk(folder):
        within = os.path.relpath(place, folder)
        for name in names:
            if not _is_image(name):
                others += not _is_hidden(name)
                continue
            path = name if within == "." else f"{within}/{name}"
            _add(state, f"{where}/{path}", os.path.join(place, name))
            found.append(path)
    return tuple(found), others


def _add(state: "hashlib._Hash", name: str, path: str) -> None:
    facts = os.stat(path)
    state.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))


def _read_annotations(
    folder: Path, labels: dict[str, int], state: "hashlib._Hash"
) -> Iterator[ClassFolder]:
    """The test images of Tiny ImageNet: lines of a file's name, its class, and a box."""
    by_class: dict[str, list[str]] = {}
    lines = (folder / _ANNOTATIONS).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in labels:
            raise UserError(
                f"'{folder / _ANNOTATIONS}', line {number} must name a file in 'images' and a "
                f"class of the training images, but is '{line[:60]}'"
            )
        by_class.setdefault(fields[1], []).append(fields[0])
    for name in sorted(by_class):
        files = tuple(sorted(by_class[name]))
        for file in files:
            _add(state, f"test/{name}/{file}", str(folder / "images" / file))
        yield ClassFolder(folder / "images", labels[name], files)
