"""The size of a data set before it is prepared is the one that it has afterwards."""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode, write_parquet
from trainables.data import data_size, prepared
from trainables.data.catalog import DATASETS
from trainables.data.data_set import DataSet
from trainables.data.data_size import (
    KNOWN,
    KNOWN_OF_MANY_SIZES,
    DataSize,
    guess_data_size,
    read_data_size,
    read_found_size,
)
from trainables.data.image_decoding import ImageHeader


def size_of(data: DataSet) -> DataSize:
    """The size of a prepared data set."""
    return DataSize(len(data.train_x) + len(data.val_x), data.image, data.classes)


def write_mixed(folder: Path, shapes: list[tuple[int, ...]], labels: list[int]) -> None:
    """A data set with images of these shapes, in two files of training images."""
    pictures = [encode(draw_images(1, shape, seed=4)[0]) for shape in shapes]
    half = len(pictures) // 2
    write_parquet(folder / "train-0.parquet", pictures[:half], labels[:half])
    write_parquet(folder / "train-1.parquet", pictures[half:], labels[half:])
    write_parquet(folder / "test.parquet", pictures[:1], labels[:1])


@pytest.mark.parametrize("last", [(4, 6), (4, 6, 3)])
def test_own_data_have_the_size_that_they_are_prepared_with(
    tmp_path: Path, last: tuple[int, ...]
) -> None:
    write_mixed(tmp_path / "mine", [*[(4, 6)] * 8, last], [0, 1, 2, 7, 0, 1, 2, 1, 0])
    size = read_data_size("mine", str(tmp_path))
    assert size == DataSize(9, (1 if len(last) == 2 else 3, 4, 6), 8)
    data = prepared.load_data_set("mine", data_dir=tmp_path, cache=tmp_path / "cache")
    assert size_of(data) == size
    assert size.training_images(hold_out=True) == len(data.train_x)
    assert size.training_images(hold_out=False) == len(data.joined().train_x)


def test_the_size_of_the_embedded_data_is_known() -> None:
    assert size_of(prepared.load_data_set("digits")) == KNOWN["digits"]
    assert read_data_size("digits", None) == KNOWN["digits"]
    assert KNOWN["cifar10"].training_images(hold_out=True) == 45_000


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mixed(tmp_path / "mine", [(4, 4)] * 4, [0, 1, 0, 1])
    size = read_data_size("mine", str(tmp_path))
    monkeypatch.setattr(data_size, "count_rows", lambda path: 1 / 0)
    assert read_data_size("mine", tmp_path) is size


def test_data_that_are_not_here_are_a_guess(tmp_path: Path) -> None:
    assert guess_data_size("mine", str(tmp_path)) == (KNOWN["cifar10"], True)
    with pytest.raises(UserError, match=r"no train\*.parquet"):
        read_data_size("mine", str(tmp_path))


def test_a_label_that_no_class_has_is_one_line_and_no_network_of_so_many_logits(
    tmp_path: Path,
) -> None:
    write_mixed(tmp_path / "mine", [(4, 4)] * 4, [0, 1, 2, 2**31 - 1])
    line = (
        f"labels of 'mine' must be in [0, 1000), but '{tmp_path / 'mine' / 'train-1.parquet'}', "
        "row 1 has 2147483647; number the classes 0, 1, 2, ..."
    )
    for read in (read_data_size, lambda name, folder: prepared.prepare(name, data_dir=folder)):
        with pytest.raises(UserError) as caught:
            read("mine", str(tmp_path))
        assert str(caught.value) == line


@pytest.mark.parametrize("name", [*KNOWN, *KNOWN_OF_MANY_SIZES])
def test_data_sets_by_name_are_planned_without_a_download(name: str) -> None:
    assert set(KNOWN) | set(KNOWN_OF_MANY_SIZES) == set(DATASETS)
    size = read_data_size(name, None, 224)
    assert size.image[1:] == (224, 224) and size.classes == DATASETS[name]
    if name in KNOWN:
        assert read_data_size(name, None) == KNOWN[name]
    else:
        with pytest.raises(UserError) as caught:
            read_data_size(name, None)
        assert str(caught.value) == (
            f"the images of '{name}' differ in size; give image_size: 224, or another size that "
            "all are brought to"
        )
        assert guess_data_size(name, None)[1], "a guess: there is no size"
    assert guess_data_size(name, None, 64)[0].image[1:] == (64, 64)


def test_parquet_of_different_sizes_needs_an_image_size(tmp_path: Path) -> None:
    write_mixed(tmp_path / "mine", [(4, 6, 3), (5, 6, 3), (4, 7, 3)], [0, 1, 2])
    with pytest.raises(UserError, match=r"\(4 to 5 high, 6 to 7 wide\); give image_size: 224"):
        read_data_size("mine", tmp_path)
    assert read_data_size("mine", tmp_path, 8) == DataSize(3, (3, 8, 8), 3)
    found = read_found_size("mine", tmp_path)
    assert (found.training, found.test, found.smallest, found.largest) == (3, 1, (4, 6), (5, 7))


def test_of_a_large_folder_few_images_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = encode(draw_images(1, (4, 4, 3), seed=1)[0])
    for number in range(600):
        path = tmp_path / f"train/{number % 3}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    read = []
    original = data_size.read_header

    def count(content: bytes | None, where: str) -> ImageHeader:
        read.append(where)
        return original(content, where)

    monkeypatch.setattr(data_size, "read_header", count)
    assert read_data_size("mine", tmp_path) == DataSize(540, (3, 4, 4), 3)
    assert data_size.SAMPLED <= len(read) <= 300


def test_headers_without_colours_are_looked_at_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST has 70,000 of them, which once took minutes."""
    looks = []

    class Header:
        @property
        def grey(self) -> bool:
            looks.append(self)
            return True

    monkeypatch.setattr(data_size, "read_header", lambda content, where: Header())
    count = 4 * data_size.SAMPLED
    headers = data_size._look_at((b"", str(number)) for number in range(count))
    assert len(headers) == len(looks) == count
