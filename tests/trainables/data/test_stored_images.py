"""Images as they lie on the disk: the same pixels encoded and decoded, in any process."""

import io
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pruning.user_error import UserError
from tests.trainables.data.folder_images import write_folders
from tests.trainables.data.parquet_images import draw_images, encode, write_dataset, write_parquet
from trainables.data import prepared
from trainables.data.loader_interface import Split
from trainables.data.prepared_data import PreparedData
from trainables.data.stored_images import StoredImages

SPLITS: tuple[Split, ...] = ("training", "validation", "test")


def open_mixed(tmp_path: Path) -> PreparedData:
    """A data set of images of different sizes, some of them grey."""
    write_folders(tmp_path / "set", train=20, test=5)
    for path in sorted((tmp_path / "set").glob("*/class_01/*.jpg"))[::2]:
        path.write_bytes(encode(Image.open(io.BytesIO(path.read_bytes())).convert("L"), "JPEG"))
    return prepared.open_prepared("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")


def test_encoded_and_decoded_images_are_the_same_and_as_pillow_reads_them(tmp_path: Path) -> None:
    data = open_mixed(tmp_path)
    assert data.image is None and data.channels == 3 and data.counts == (18, 2, 5)
    files = {p.read_bytes(): p for p in (tmp_path / "set").rglob("*.jpg")}
    seen = set()
    for split in SPLITS:
        encoded, decoded = (data.images(split, encoded=kind) for kind in (True, False))
        assert torch.equal(encoded.labels, decoded.labels) and encoded.labels.dtype == torch.int64
        assert len(encoded) == len(decoded) == data.count(split) == len(encoded.labels)
        for index in range(len(encoded)):
            file = files[encoded.encoded_bytes(index)]
            seen.add(file)
            with Image.open(file) as image:
                expected = torch.from_numpy(np.asarray(image.convert("RGB")).copy())
            assert int(encoded.labels[index]) == int(file.parent.name[-2:])
            for images in (encoded, decoded):
                pixels = images.pixels(index)
                assert pixels.dtype == torch.uint8 and torch.equal(
                    pixels.permute(1, 2, 0), expected
                )
                assert images.size(index) == tuple(pixels.shape[1:])
                assert pixels.stride() == (1, pixels.shape[2] * 3, 3), "memory is [H, W, C]"
    assert len(seen) == 25


def test_decoded_images_of_one_size_are_the_tensors(tmp_path: Path) -> None:
    write_dataset(tmp_path / "own")
    data = prepared.open_prepared("own", data_dir=tmp_path, cache=tmp_path / "cache")
    tensors = prepared.load_data_set("own", data_dir=tmp_path, cache=tmp_path / "cache")
    assert data.digest == tensors.digest and data.mean == tensors.mean
    for split in SPLITS:
        x, y = tensors.images(split)
        images = data.images(split, encoded=False)
        assert torch.equal(
            torch.stack([images.pixels(i) for i in range(len(y))]), x.permute(0, 3, 1, 2)
        )
        assert torch.equal(images.labels, y)
    joined, whole = data.joined(), tensors.joined()
    assert (joined.mean, joined.std) == (whole.mean, whole.std)
    assert joined.counts == (40, 0, 10) and len(joined.images("validation", encoded=True)) == 0
    images = joined.images("training", encoded=True)
    assert torch.equal(images.labels, whole.train_y)
    assert torch.equal(images.pixels(39), whole.train_x[39].permute(2, 0, 1))


def read_in_process(content: bytes, queue) -> None:
    torch.set_num_threads(1)
    images: StoredImages = pickle.loads(content)
    queue.put([images.pixels(index).sum().item() for index in range(len(images))])


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_other_processes_read_the_same(tmp_path: Path, encoded: bool, method: str) -> None:
    images = open_mixed(tmp_path).images("test", encoded=encoded)
    sums = [images.pixels(index).sum().item() for index in range(len(images))]
    content = pickle.dumps(images)
    assert len(content) < 1000, "no images travel"
    again: StoredImages = pickle.loads(content)
    assert [again.pixels(index).sum().item() for index in range(len(again))] == sums
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=read_in_process, args=(content, queue))
    process.start()
    assert queue.get(timeout=120) == sums
    process.join(timeout=60)


@pytest.mark.parametrize("index", [-1, 5])
def test_there_are_no_other_images(tmp_path: Path, index: int) -> None:
    images = open_mixed(tmp_path).images("test", encoded=True)
    for read in (images.pixels, images.size, images.encoded_bytes):
        with pytest.raises(IndexError):
            read(index)


@pytest.mark.parametrize(("name", "encoded"), [("encoded.bin", True), ("pixels.bin", False)])
@pytest.mark.parametrize("place", ["first", "last"])
def test_every_damaged_image_is_noticed_when_it_is_read(
    tmp_path: Path, name: str, encoded: bool, place: str
) -> None:
    data = open_mixed(tmp_path)
    images = data.images("training", encoded=encoded)
    entry = images.index[3]
    size = entry["height"] * entry["width"] * 3
    start, length = (entry["start"], entry["length"]) if encoded else (entry["pixels"], size)
    at = int(start if place == "first" else start + length - 1)
    content = bytearray((data.folder / name).read_bytes())
    content[at] ^= 1
    (data.folder / name).unlink()
    (data.folder / name).write_bytes(content)
    assert images.pixels(2).shape[0] == 3
    with pytest.raises(UserError, match="do not match their checksum at image 3; delete that fold"):
        images.pixels(3)


def test_a_file_that_lost_its_end_is_an_error_and_no_crash(tmp_path: Path) -> None:
    data = open_mixed(tmp_path)
    path = data.folder / "encoded.bin"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    images = data.images("test", encoded=True)
    with pytest.raises(UserError, match="checksum"):
        [images.pixels(index) for index in range(len(images))]


def test_a_grey_data_set_has_one_channel(tmp_path: Path) -> None:
    pictures = [encode(picture) for picture in draw_images(5, (4, 3), seed=1)]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"grey/{split}.parquet", pictures, [0, 1, 2, 0, 1])
    data = prepared.open_prepared("grey", data_dir=tmp_path, cache=tmp_path / "cache")
    for encoded in (True, False):
        pixels = data.images("test", encoded=encoded).pixels(0)
        assert pixels.shape == (1, 4, 3) and data.channels == 1
