import gzip
import hashlib
import io
import multiprocessing
import os
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pruning.user_error import UserError
from trainables.data import prepared, readers

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real data sets are not in {SHARED}"
)


def draw_images(count: int, shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def encode(picture: np.ndarray | Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(
    path: Path,
    encoded: Sequence[bytes | None],
    labels: Sequence[int | None],
    *,
    label: str = "label",
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(encoded)]
    pq.write_table(pa.table({"img": images, label: pa.array(labels, pa.int64())}), path)


def write_dataset(
    folder: Path, *, train: int = 40, test: int = 10, shape: tuple[int, ...] = (6, 5, 3)
) -> np.ndarray:
    x = draw_images(train + test, shape, seed=1)
    labels = [i % 4 for i in range(train + test)]
    encoded = [encode(picture) for picture in x]
    half = train // 2
    write_parquet(folder / "train-00000-of-00002.parquet", encoded[:half], labels[:half])
    write_parquet(folder / "train-00001-of-00002.parquet", encoded[half:train], labels[half:train])
    write_parquet(folder / "test-00000-of-00001.parquet", encoded[train:], labels[train:])
    return x


# Names and folders


def test_check_imports_neither_torch_nor_torchvision():
    program = "import sys; from trainables import data; data.check('cifar10'); print({'torch','torchvision'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_obtaining_parquet_imports_no_torchvision(tmp_path):
    write_dataset(tmp_path / "source")
    program = (
        "import sys; from trainables import data;"
        f"data.obtain('own', data_dir={str(tmp_path / 'source')!r}, cache={str(tmp_path / 'cache')!r});"
        "print('torchvision' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", prepared.DATASETS)
def test_known_names_need_no_folder(name):
    prepared.check(name)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(
        UserError, match=r"no data set 'cifr10'; did you mean 'cifar10'\?.*--data-dir"
    ):
        prepared.check("cifr10")


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="letters, digits"):
        prepared.check(name, tmp_path)


def test_a_missing_folder_is_named_even_for_digits(tmp_path):
    for name in ("own", "cifar10", "digits"):
        with pytest.raises(UserError, match="'.*nowhere' is missing"):
            prepared.check(name, tmp_path / "nowhere")


def test_a_folder_without_one_of_the_splits_is_refused(tmp_path):
    write_dataset(tmp_path)
    prepared.check("own", tmp_path)
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(
        UserError, match=r"no train\*.parquet and test\*.parquet of 'cifar10'.*leave out --data-dir"
    ):
        prepared.check("cifar10", tmp_path)
    with pytest.raises(UserError) as caught:
        prepared.check("own", tmp_path)
    assert "leave out" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [".", "data", "own", "own/data"])
def test_parquet_is_found_in_every_usual_place(tmp_path, place):
    write_dataset(tmp_path / place)
    shards = readers.find("own", tmp_path)
    assert shards is not None
    assert [path.name[:11] for path in shards.train] == ["train-00000", "train-00001"]


# What is prepared


def test_parquet_gives_the_same_pixels_and_a_fixed_tenth_for_validation(tmp_path):
    x = write_dataset(tmp_path / "source")
    found = prepared.load(
        prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    )
    assert (found.name, found.classes, found.image) == ("own", 4, (3, 6, 5))
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (36, 4, 10)
    assert torch.equal(found.test_x, torch.from_numpy(x[40:]))
    assert found.test_y.tolist() == [i % 4 for i in range(40, 50)]
    position = {picture.tobytes(): i for i, picture in enumerate(x[:40])}
    train, val = (
        [position[p.numpy().tobytes()] for p in split] for split in (found.train_x, found.val_x)
    )
    assert sorted(train + val) == list(range(40)) and not set(train) & set(val)
    assert found.train_y.tolist() == [i % 4 for i in train] and found.val_y.tolist() == [
        i % 4 for i in val
    ]
    assert val == [
        10,
        16,
        35,
        39,
    ]  # pinned: results of different versions compare only on the same split
    for tensor in (found.train_x, found.val_x, found.test_x):
        assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
    assert found.train_y.dtype == torch.int64
    pixels = found.train_x.numpy().reshape(-1, 3) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-9)


def test_statistics_are_exact_for_the_brightest_images():
    white = torch.full((600, 2, 2, 1), 255, dtype=torch.uint8)
    white[0, 0, 0, 0] = 254
    mean, std = prepared._statistics(white)
    pixels = white.numpy().reshape(-1) / 255
    assert mean[0] == pytest.approx(pixels.mean(), rel=1e-14)
    assert std[0] == pytest.approx(pixels.std(), rel=1e-6)


def test_a_constant_channel_does_not_divide_by_zero():
    assert prepared._statistics(torch.full((3, 2, 2, 1), 7, dtype=torch.uint8)) == (
        (7 / 255,),
        (1.0,),
    )


def test_digits_have_fixed_splits_and_full_range(tmp_path):
    from sklearn.datasets import load_digits

    found = prepared.obtain("digits", cache=tmp_path)
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (1295, 143, 359)
    assert (found.image, found.classes) == ((1, 8, 8), 10)
    bunch = load_digits()
    expected = sorted(
        (np.rint(p * 255 / 16).astype(np.uint8).tobytes(), t)
        for p, t in zip(bunch.images, bunch.target, strict=True)
    )
    split = [
        (found.train_x, found.train_y),
        (found.val_x, found.val_y),
        (found.test_x, found.test_y),
    ]
    assert (
        sorted((p.numpy().tobytes(), int(t)) for x, y in split for p, t in zip(x, y, strict=True))
        == expected
    )
    assert found.digest == "c745c7d116cc46c8"
    assert prepared.prepare("digits", data_dir=tmp_path, cache=tmp_path) == prepared.prepare(
        "digits", cache=tmp_path
    )


def test_joined_trains_on_everything_but_the_test_split(tmp_path):
    write_dataset(tmp_path / "source")
    found = prepared.obtain("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    joined = found.joined()
    assert torch.equal(joined.train_x, torch.cat([found.train_x, found.val_x]))
    assert torch.equal(joined.train_y, torch.cat([found.train_y, found.val_y]))
    assert joined.val_x.shape == (0, 6, 5, 3) and joined.val_y.shape == (0,)
    np.testing.assert_allclose(
        joined.mean, joined.train_x.numpy().reshape(-1, 3).mean(0) / 255, rtol=1e-12
    )
    assert joined.digest == found.digest and len(found.val_x) == 4


def test_grey_images_among_colours_become_colours_and_grey_ones_alone_stay_grey(tmp_path):
    colour, grey = draw_images(2, (4, 4, 3), seed=2), draw_images(4, (4, 4), seed=3)
    test = [encode(grey[3])]
    write_parquet(
        tmp_path / "mixed/train.parquet",
        [encode(grey[0]), encode(colour[0]), encode(colour[1])],
        [0, 1, 0],
    )
    write_parquet(tmp_path / "mixed/test.parquet", test, [0])
    mixed = prepared.obtain("mixed", data_dir=tmp_path, cache=tmp_path / "cache")
    assert mixed.image == (3, 4, 4)
    assert torch.equal(mixed.test_x[0], torch.from_numpy(np.stack([grey[3]] * 3, axis=2)))
    alpha = Image.fromarray(grey[1]).convert("LA")
    write_parquet(
        tmp_path / "grey/train.parquet",
        [encode(grey[0]), encode(alpha), encode(grey[2])],
        [0, 1, 0],
    )
    write_parquet(tmp_path / "grey/test.parquet", test, [0])
    alone = prepared.obtain("grey", data_dir=tmp_path, cache=tmp_path / "cache")
    assert alone.image == (1, 4, 4)
    seen = {p.numpy().tobytes() for p in torch.cat([alone.train_x, alone.val_x])}
    assert seen == {grey[i].tobytes() for i in range(3)}


def test_cifar100_takes_the_fine_label(tmp_path):
    encoded = [encode(p) for p in draw_images(3, (4, 4, 3), seed=4)]
    for split in ("train", "test"):
        images = [{"bytes": content, "path": None} for content in encoded]
        table = pa.table({"img": images, "coarse_label": [1, 2, 3], "fine_label": [7, 8, 99]})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    found = prepared.obtain("cifar100", data_dir=tmp_path, cache=tmp_path / "cache")
    assert found.test_y.tolist() == [7, 8, 99] and found.classes == 100
    with pytest.raises(UserError, match="integer column 'label'.*coarse_label: int64"):
        prepared.obtain("own", data_dir=tmp_path, cache=tmp_path / "cache")


# The cache


def test_changed_data_are_prepared_anew_and_touched_ones_are_not(tmp_path):
    write_dataset(tmp_path / "source")
    first = prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    made = first.stat().st_mtime_ns
    os.utime(tmp_path / "source/test-00000-of-00001.parquet")
    assert prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
    shard = tmp_path / "source/train-00001-of-00002.parquet"
    table = pq.read_table(shard)
    labels = pa.array([3 - label for label in table["label"].to_pylist()])
    pq.write_table(table.set_column(1, "label", labels), shard)
    second = prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    assert second != first and prepared.load(second).digest != prepared.load(first).digest


def test_the_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNING_DATA_CACHE", str(tmp_path / "a"))
    assert prepared.prepare("digits").parent == tmp_path / "a"
    monkeypatch.delenv("PRUNING_DATA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert prepared.prepare("digits").parent == tmp_path / "home/.cache/pruning-studies"
    first = prepared.obtain("digits", cache=tmp_path / "a")
    assert prepared.obtain("digits", cache=str(tmp_path / "a")) is first


def test_the_fingerprint_sees_one_changed_byte_and_a_changed_name(tmp_path):
    write_dataset(tmp_path)
    shards = readers.find("own", tmp_path)
    assert shards is not None
    before, path = readers.fingerprint(shards), shards.train[1]
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    assert readers.fingerprint(shards) != before
    path.write_bytes(content)
    assert readers.fingerprint(shards) == before
    path.rename(path.with_name("train-00002-of-00002.parquet"))
    assert readers.fingerprint(readers.find("own", tmp_path)) != before


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty", "foreign"])
def test_a_damaged_prepared_file_is_noticed_and_made_anew(tmp_path, damage):
    path = prepared.prepare("digits", cache=tmp_path)
    good = prepared.load(path).digest
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.unlink()  # the old file may still be mapped into this process
    if damage == "foreign":
        torch.save({"x": torch.zeros(3)}, path)
    else:
        path.write_bytes(
            {"flip": content, "shorten": content[: len(content) // 2], "empty": b""}[damage]
        )
    with pytest.raises(UserError, match="prepare makes them anew"):
        prepared.load(path)
    with pytest.warns(UserWarning, match="prepare makes them anew"):
        assert prepared.prepare("digits", cache=tmp_path) == path
    assert prepared.load(path).digest == good


def test_a_prepared_file_of_other_types_is_noticed_though_its_checksum_is_right(tmp_path):
    path = prepared.prepare("digits", cache=tmp_path)
    good = torch.load(path, weights_only=True)
    for name, kind in (("train_x", torch.int8), ("test_y", torch.float64)):
        torch.save({**good, name: good[name].view(kind)}, tmp_path / "other.pt")
        with pytest.raises(UserError, match="do not match their checksum"):
            prepared.load(tmp_path / "other.pt")
    torch.save({**good, "more": 1}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="cannot load the prepared data"):
        prepared.load(tmp_path / "other.pt")


def test_a_folder_in_the_place_of_a_prepared_file_is_one_line(tmp_path):
    path = prepared.prepare("digits", cache=tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot load the prepared data"):
        prepared.load(path)
    with (
        pytest.warns(UserWarning, match="prepare makes them anew"),
        pytest.raises(
            UserError, match="cannot write to the data cache.*PRUNING_DATA_CACHE"
        ) as caught,
    ):
        prepared.prepare("digits", cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_pixels_and_labels_is_noticed(tmp_path):
    path = prepared.prepare("digits", cache=tmp_path)
    content = path.read_bytes()
    found = prepared.load(path)
    for tensor in (found.train_x, found.val_y, found.test_x):
        at = content.index(tensor.numpy().tobytes())
        other = tmp_path / "other.pt"
        other.write_bytes(content[: at + 3] + bytes([content[at + 3] ^ 128]) + content[at + 4 :])
        with pytest.raises(UserError, match="checksum"):
            prepared.load(other)
        other.unlink()


def start_and_obtain(source: str, cache: str, marks: str, begin) -> str:
    torch.set_num_threads(1)
    original = readers.read

    def counted(*positional, **named):
        Path(marks, str(os.getpid())).touch()
        time.sleep(0.2)  # wide enough for the others to arrive
        return original(*positional, **named)

    readers.read = counted
    begin.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prepared.obtain("own", data_dir=source, cache=cache).digest


def obtain_into(queue, *arguments) -> None:
    queue.put(start_and_obtain(*arguments))


def test_many_processes_at_once_prepare_once_and_see_the_same(tmp_path):
    write_dataset(tmp_path / "source")
    (tmp_path / "marks").mkdir()
    context = multiprocessing.get_context("fork")  # spawning would import torch twelve times
    begin, queue = context.Barrier(12), context.Queue()
    arguments = (
        queue,
        str(tmp_path / "source"),
        str(tmp_path / "cache"),
        str(tmp_path / "marks"),
        begin,
    )
    processes = [context.Process(target=obtain_into, args=arguments) for _ in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 12
    digests = {queue.get(timeout=60) for _ in processes}
    expected = prepared.obtain(
        "own", data_dir=tmp_path / "source", cache=tmp_path / "elsewhere"
    ).digest
    assert digests == {expected}
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert [path.suffix for path in sorted((tmp_path / "cache").iterdir())] == [".lock", ".pt"]


def test_without_locks_several_may_prepare_and_the_file_is_still_whole(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = prepared.prepare("digits", cache=tmp_path)
    assert prepared.load(path).digest == "c745c7d116cc46c8"


def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path):
    before, handler = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(UserError, match="disk full.*PRUNING_DATA_CACHE"):
            prepared.prepare("digits", cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the data cache.*PRUNING_DATA_CACHE"):
        prepared.prepare("digits", cache=tmp_path / "file")


# Damaged and unsuitable Parquet


def refusal(tmp_path: Path) -> str:
    with pytest.raises(UserError) as caught:
        prepared.prepare("own", data_dir=tmp_path, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*.pt"))
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
            readers.read("own", readers.find("own", tmp_path), downloads=tmp_path)
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
    assert (
        "cannot decode the image in" in (message := refusal(tmp_path))
        and "decompression bomb" in message
    )


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


def test_images_of_two_sizes_are_refused_by_file_and_row(tmp_path):
    small, large = (
        [encode(p) for p in draw_images(3, shape, seed=6)] for shape in ((4, 4, 3), (4, 5, 3))
    )
    write_parquet(tmp_path / "train.parquet", small, [0, 1, 2])
    write_parquet(tmp_path / "test.parquet", [small[0], large[0]], [0, 1])
    message = refusal(tmp_path)
    assert f"4x4 as the first, but '{tmp_path / 'test.parquet'}', row 1 is 4x5" in message


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
    assert prepared.obtain("own", data_dir=tmp_path, cache=tmp_path / "cache").classes == 11


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


# torchvision's own files, made here, so that nothing is downloaded


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.tobytes())
    with gzip.open(f"{path}.gz", "wb") as stream:
        stream.write(header + values.tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_torchvisions_idx_files_are_read(tmp_path, name, folder):
    raw = tmp_path / "torchvision" / folder / "raw"
    train, test = draw_images(20, (28, 28), seed=9), draw_images(5, (28, 28), seed=10)
    for prefix, images in (("train", train), ("t10k", test)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(len(images), dtype=np.uint8) % 10)
    found = prepared.obtain(name, cache=tmp_path)
    assert (found.image, found.classes) == ((1, 28, 28), 10)
    assert (len(found.train_x), len(found.val_x)) == (18, 2)
    assert torch.equal(found.test_x[..., 0], torch.from_numpy(test)) and found.test_y.tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]
    joined = {p.tobytes(): i % 10 for i, p in enumerate(train)}
    assert all(
        joined[p.numpy().tobytes()] == int(y)
        for p, y in zip(found.train_x, found.train_y, strict=True)
    )


@pytest.mark.parametrize(("name", "kind"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_torchvisions_cifar_batches_are_read(tmp_path, monkeypatch, name, kind):
    from torchvision import datasets

    family = getattr(datasets, kind)
    folder = tmp_path / "torchvision" / family.base_folder
    folder.mkdir(parents=True)
    x = draw_images(12, (3, 32, 32), seed=11)
    key = "labels" if name == "cifar10" else "fine_labels"

    def write(file: str, content: dict) -> str:
        (folder / file).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / file).read_bytes()).hexdigest()

    train = write("first", {"data": x[:8].reshape(8, -1), key: list(range(8))})
    test = write("second", {"data": x[8:].reshape(4, -1), key: [8, 9, 0, 1]})
    meta = write("names", {family.meta["key"]: ["a"] * prepared.DATASETS[name]})
    monkeypatch.setattr(family, "train_list", [["first", train]])
    monkeypatch.setattr(family, "test_list", [["second", test]])
    monkeypatch.setattr(family, "meta", {**family.meta, "filename": "names", "md5": meta})
    found = prepared.obtain(name, cache=tmp_path)
    assert (found.image, found.classes) == ((3, 32, 32), prepared.DATASETS[name])
    assert torch.equal(found.test_x, torch.from_numpy(x[8:].transpose(0, 2, 3, 1).copy()))
    assert found.test_x.is_contiguous() and found.test_y.tolist() == [8, 9, 0, 1]


@pytest.mark.parametrize("name", readers.TORCHVISION)
def test_a_failed_download_is_one_line_that_names_the_way_out(tmp_path, monkeypatch, name):
    import urllib.error
    import urllib.request

    def refuse(*_, **__):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match="torchvision cannot download.*--data-dir") as caught:
        prepared.prepare(name, cache=tmp_path)
    assert "\n" not in str(caught.value)


# The real thing


@needs_shared
def test_the_real_mnist(tmp_path):
    found = prepared.obtain("mnist", data_dir=SHARED, cache=tmp_path)
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (54_000, 6_000, 10_000)
    assert (found.image, found.classes) == ((1, 28, 28), 10)
    counts = torch.bincount(torch.cat([found.train_y, found.val_y])).tolist()
    assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # as published
    joined = found.joined()
    assert joined.mean[0] == pytest.approx(0.1307, abs=5e-5) and joined.std[0] == pytest.approx(
        0.3081, abs=5e-5
    )


@needs_shared
def test_a_part_of_the_real_cifar10(tmp_path):
    for split in ("train", "test"):
        part = pq.read_table(SHARED / "cifar10" / f"{split}.parquet").slice(0, 2000)
        pq.write_table(part, tmp_path / f"{split}.parquet")
    found = prepared.obtain("cifar10", data_dir=tmp_path, cache=tmp_path / "cache")
    assert (len(found.train_x), len(found.val_x), len(found.test_x)) == (1800, 200, 2000)
    np.testing.assert_allclose(found.mean, (0.4914, 0.4822, 0.4465), atol=0.01)
    np.testing.assert_allclose(found.std, (0.2470, 0.2435, 0.2616), atol=0.01)
