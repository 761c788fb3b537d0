"""Images from Parquet files; damaged ones are refused.

Covers: trainables/data/readers.py, trainables/data/parquet_rows.py.
"""

import random
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode, write_dataset, write_parquet
from trainables.data import prepared

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real data sets are not in {SHARED}"
)


def test_grey_images_among_colours_become_colours_and_grey_ones_alone_stay_grey(tmp_path):
    colour, grey = draw_images(2, (4, 4, 3), seed=2), draw_images(4, (4, 4), seed=3)
    test = [encode(grey[3])]
    write_parquet(
        tmp_path / "mixed/train.parquet",
        [encode(grey[0]), encode(colour[0]), encode(colour[1])],
        [0, 1, 0],
    )
    write_parquet(tmp_path / "mixed/test.parquet", test, [0])
    mixed = prepared.load_data_set("mixed", data_dir=tmp_path, cache=tmp_path / "cache")
    assert mixed.image == (3, 4, 4)
    assert torch.equal(mixed.test_x[0], torch.from_numpy(np.stack([grey[3]] * 3, axis=2)))
    alpha = Image.fromarray(grey[1]).convert("LA")
    write_parquet(
        tmp_path / "grey/train.parquet",
        [encode(grey[0]), encode(alpha), encode(grey[2])],
        [0, 1, 0],
    )
    write_parquet(tmp_path / "grey/test.parquet", test, [0])
    alone = prepared.load_data_set("grey", data_dir=tmp_path, cache=tmp_path / "cache")
    assert alone.image == (1, 4, 4)
    seen = {p.numpy().tobytes() for p in torch.cat([alone.train_x, alone.val_x])}
    assert seen == {grey[i].tobytes() for i in range(3)}


def test_cifar100_takes_the_fine_label(tmp_path):
    encoded = [encode(p) for p in draw_images(3, (4, 4, 3), seed=4)]
    for split in ("train", "test"):
        images = [{"bytes": content, "path": None} for content in encoded]
        table = pa.table({"img": images, "coarse_label": [1, 2, 3], "fine_label": [7, 8, 99]})
        pq.write_table(table, tmp_path / f"{split}.parquet")
        coarse = table.drop_columns(["fine_label"])
        (tmp_path / "coarse").mkdir(exist_ok=True)
        pq.write_table(coarse, tmp_path / "coarse" / f"{split}.parquet")
    found = prepared.load_data_set("cifar100", data_dir=tmp_path, cache=tmp_path / "cache")
    assert found.test_y.tolist() == [7, 8, 99] and found.classes == 100
    assert prepared.load_data_set("own", data_dir=tmp_path, cache=tmp_path / "cache").classes == 100
    with pytest.raises(
        UserError, match="integer column 'label' .or 'labels' or 'fine_label'.*coarse_label: int64"
    ):
        prepared.load_data_set("coarse", data_dir=tmp_path, cache=tmp_path / "cache")


def refusal(tmp_path: Path) -> str:
    with pytest.raises(UserError) as caught:
        prepared.prepare("own", data_dir=tmp_path, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert all(path.suffix == ".lock" for path in (tmp_path / "cache").glob("*"))
    return str(caught.value)


@pytest.mark.parametrize("damage", ["shorten", "text", "empty", "page", "names"])
def test_a_damaged_parquet_file_is_named(tmp_path, damage):
    write_dataset(tmp_path)
    shard = tmp_path / "train-00001-of-00002.parquet"
    content = shard.read_bytes()
    page = content[:4] + b"\xff" * 40 + content[44:]
    damaged = {
        "shorten": content[: len(content) // 2],
        "text": b"<html>not found</html>",
        "empty": b"",
        "page": page,
    }
    damaged["names"] = content.replace(b"label", b"\xb9abel")
    shard.write_bytes(damaged[damage])
    assert f"cannot read '{shard}' as Parquet" in refusal(tmp_path)


def test_parquet_damaged_anywhere_is_read_or_refused_in_one_line(tmp_path):
    write_dataset(tmp_path, train=6, test=2)
    shard = tmp_path / "train-00001-of-00002.parquet"
    content = shard.read_bytes()
    draw, refusals = random.Random(5), []
    for number in range(300):
        damaged = bytearray(content[: draw.randrange(len(content))] if number % 5 == 0 else content)
        for _ in range(draw.choice([1, 1, 2, 8])) if damaged else ():
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        shard.write_bytes(damaged)
        try:
            prepared.prepare("own", data_dir=tmp_path, cache=tmp_path / "cache")
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 150 and "\n" not in "".join(refusals)


@pytest.mark.parametrize("column", ["text", "numbers", "nothing"])
def test_a_column_that_holds_no_encoded_images_is_refused(tmp_path, column):
    inner = {"text": "not bytes", "numbers": [1, 2, 3], "nothing": None}[column]
    for split in ("train", "test"):
        table = pa.table({"img": [{"bytes": inner, "path": "x"}] * 3, "label": [0, 1, 2]})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert "cannot decode the image in" in refusal(tmp_path)


def test_a_folder_named_like_a_parquet_file_is_refused(tmp_path):
    write_dataset(tmp_path)
    (tmp_path / "train-00002-of-00002.parquet").mkdir()
    assert "cannot read" in refusal(tmp_path)


def test_an_image_that_would_unfold_to_gigabytes_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    write_parquet(tmp_path / "test.parquet", [bomb], [0])
    write_parquet(tmp_path / "train.parquet", [bomb, bomb], [0, 1])
    assert re.search(r"the image in .*, row 0 has more than [\d,]+ pixels", refusal(tmp_path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("damage", ["shorten", "empty", "null", "noise"])
def test_a_damaged_image_is_named_by_file_and_row(tmp_path, kind, damage):
    encoded: list[bytes | None] = [encode(p, kind) for p in draw_images(4, (16, 16, 3), seed=5)]
    write_parquet(tmp_path / "test.parquet", encoded, [0, 1, 2, 3])
    encoded[2] = {
        "shorten": (encoded[2] or b"")[:-60],
        "empty": b"",
        "null": None,
        "noise": b"\x00" * 50,
    }[damage]
    write_parquet(tmp_path / "train.parquet", encoded, [0, 1, 2, 3])
    assert f"cannot decode the image in '{tmp_path / 'train.parquet'}', row 2" in refusal(tmp_path)


def test_images_of_two_sizes_are_no_tensor_and_the_way_out_is_named(tmp_path):
    small, large = (
        [encode(p) for p in draw_images(3, shape, seed=6)] for shape in ((4, 4, 3), (4, 5, 3))
    )
    write_parquet(tmp_path / "train.parquet", small, [0, 1, 2])
    write_parquet(tmp_path / "test.parquet", [small[0], large[0]], [0, 1])
    with pytest.raises(UserError) as caught:
        prepared.load_data_set("own", data_dir=tmp_path, cache=tmp_path / "cache")
    assert str(caught.value) == (
        "the images of 'own' differ in size (4 to 4 high, 4 to 5 wide); give image_size: 224, or "
        "another size that all are brought to"
    )


@pytest.mark.parametrize("label", [None, -1])
def test_a_missing_label_is_refused_by_file_and_row(tmp_path, label):
    encoded = [encode(p) for p in draw_images(3, (4, 4, 3), seed=7)]
    write_parquet(tmp_path / "train.parquet", encoded, [0, 1, 2])
    write_parquet(tmp_path / "test.parquet", encoded, [0, 1, label])
    assert f"'{tmp_path / 'test.parquet'}', row 2 has {label}" in refusal(tmp_path)


def test_a_label_beyond_the_known_classes_is_refused(tmp_path):
    encoded = [encode(p) for p in draw_images(3, (4, 4, 3), seed=7)]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", encoded, [0, 1, 10])
    with pytest.raises(
        UserError, match=r"labels of 'cifar10' must be in \[0, 10\), but .* row 2 has 10"
    ):
        prepared.prepare("cifar10", data_dir=tmp_path, cache=tmp_path / "cache")
    assert prepared.load_data_set("own", data_dir=tmp_path, cache=tmp_path / "cache").classes == 11


def test_missing_columns_are_listed(tmp_path):
    for split in ("train", "test"):
        pq.write_table(pa.table({"img": [b"x"], "label": [1]}), tmp_path / f"{split}.parquet")
    assert (
        "struct column with a field 'bytes'" in (message := refusal(tmp_path))
        and "img: binary" in message
    )


def test_deep_images_and_empty_splits_are_refused(tmp_path):
    deep = encode(Image.fromarray(np.full((4, 4), 60_000, dtype=np.uint16)))
    write_parquet(tmp_path / "train.parquet", [deep, deep], [0, 1])
    write_parquet(tmp_path / "test.parquet", [deep], [0])
    assert "8 bits a channel" in refusal(tmp_path)
    fine = encode(draw_images(1, (4, 4), seed=8)[0])
    write_parquet(tmp_path / "train.parquet", [fine, fine], [0, 1])
    pq.write_table(pq.read_table(tmp_path / "train.parquet").slice(0, 0), tmp_path / "test.parquet")
    assert "the test split must not be empty" in refusal(tmp_path)
    write_parquet(tmp_path / "train.parquet", [fine], [0])
    write_parquet(tmp_path / "test.parquet", [fine], [0])
    assert "at least 2 images" in refusal(tmp_path)


@pytest.mark.slow
@needs_shared
def test_the_real_mnist(tmp_path):
    found = prepared.load_data_set("mnist", data_dir=SHARED, cache=tmp_path)
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (54_000, 6_000, 10_000)
    assert (found.image, found.classes) == ((1, 28, 28), 10)
    counts = torch.bincount(torch.cat([found.train_y, found.val_y])).tolist()
    assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # as published
    joined = found.joined()
    assert joined.mean[0] == pytest.approx(0.1307, abs=5e-5) and joined.std[0] == pytest.approx(
        0.3081, abs=5e-5
    )


@needs_shared
@pytest.mark.parametrize(
    ("name", "image", "mean", "std"),
    [
        ("cifar10", (3, 32, 32), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ("mnist", (1, 28, 28), (0.1307,), (0.3081,)),
    ],
)
def test_a_part_of_a_real_data_set(
    tmp_path: Path,
    name: str,
    image: tuple[int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    for split in ("train", "test"):
        part = pq.read_table(SHARED / name / f"{split}.parquet").slice(0, 2000)
        pq.write_table(part, tmp_path / f"{split}.parquet")
    found = prepared.load_data_set(name, data_dir=tmp_path, cache=tmp_path / "cache")
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (1800, 200, 2000)
    assert (found.image, found.classes) == (image, 10)
    np.testing.assert_allclose(found.mean, mean, atol=0.01)
    np.testing.assert_allclose(found.std, std, atol=0.01)
