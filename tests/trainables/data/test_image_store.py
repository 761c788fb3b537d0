"""Preparing: it continues where it was killed, holds few images in memory, and says how far it is.

Covers: trainables/data/image_store.py, trainables/data/appended_files.py.
"""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pruning.user_error import UserError
from tests.trainables.data.folder_images import draw_picture, write_folders
from tests.trainables.data.parquet_images import encode, write_parquet
from trainables.data import appended_files, image_store, prepared, prepared_data
from trainables.data.appended_files import AppendedFiles
from trainables.data.image_source import ImageSource, Record

ROOT = Path(__file__).parents[3]
FILES = ["encoded.bin", "facts.json", "index.npy", "pixels.bin"]


def prepare_and_die(name: str, times: int, source: Path, cache: Path) -> None:
    """Prepare `mixed`; be killed when the pass `name` notes for the `times`-th time that it has
    done something."""
    appended_files.NOTED_BYTES = 5000
    image_store._RECORDS, image_store._DECODED = 2, 9000
    note, noted = AppendedFiles.note, []

    def counted(self: AppendedFiles) -> None:
        note(self)
        noted.append(self._note.name)
        if noted.count(f"{name}.json") == times:
            self._streams[0].write(b"half")
            self._streams[0].flush()
            os.kill(os.getpid(), signal.SIGKILL)

    AppendedFiles.note = counted  # type: ignore[method-assign]
    prepared.prepare("mixed", data_dir=source, cache=cache)


def kill_preparation(folder: Path, name: str, times: int) -> None:
    """A preparation in a process of its own: forked, so that nothing is imported again."""
    arguments = (name, times, folder / "set", folder / "cache")
    process = multiprocessing.get_context("fork").Process(target=prepare_and_die, args=arguments)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "times"), [("gather", 1), ("gather", 4), ("decode", 1), ("decode", 5)]
)
def test_a_killed_preparation_continues_with_what_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    write_folders(tmp_path / "set", train=40, test=10)
    kill_preparation(tmp_path, name, times)
    (work,) = (tmp_path / "cache").glob("*.part")
    assert not list((tmp_path / "cache").glob(f"mixed-{prepared.LAYOUT}-*/facts.json"))
    assert (work / f"{name}.json").is_file()

    read: dict[str, list[object]] = {"gather": [], "decode": []}
    inspect, decode = image_store.read_header, image_store.decode_image
    monkeypatch.setattr(
        image_store, "read_header", lambda *a: (read["gather"].append(a), inspect(*a))[1]
    )
    monkeypatch.setattr(
        image_store, "decode_image", lambda *a: (read["decode"].append(a), decode(*a))[1]
    )
    again = prepared.prepare("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    assert len(read[name]) <= 50 - times, "what was complete is not done again"
    assert name == "gather" or not read["gather"]
    assert not work.exists()
    whole = prepared.prepare("mixed", data_dir=tmp_path / "set", cache=tmp_path / "whole")
    assert read_files(again) == read_files(whole) and sorted(read_files(whole)) == FILES


def test_a_changed_source_is_not_continued_with(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", train=40, test=10)
    kill_preparation(tmp_path, "decode", 2)
    path = tmp_path / "set/train/class_00/00000.jpg"
    path.write_bytes(encode(draw_picture(999), "JPEG"))
    data = prepared.open_prepared("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    images = data.joined().images("training", encoded=True)
    assert path.read_bytes() in {images.encoded_bytes(i) for i in range(len(images))}


def test_appended_files_are_cut_to_what_was_noted(tmp_path: Path) -> None:
    with AppendedFiles(tmp_path, "pass", ("a", "b")) as files:
        files.append(b"one", b"1", seen=3)
    files = AppendedFiles(tmp_path, "pass", ("a", "b"))
    files.append(b"lost", b"2", seen=9)  # never noted
    for stream in files._streams:
        stream.close()
    assert (tmp_path / "a").read_bytes() == b"onelost"
    with AppendedFiles(tmp_path, "pass", ("a", "b")) as files:
        assert files.lengths == [3, 1] and files.state == {"seen": 3}
        files.append(b"two", b"2", seen=5)
    assert (tmp_path / "a").read_bytes() == b"onetwo" and (tmp_path / "b").read_bytes() == b"12"


@pytest.mark.parametrize("damage", ["note", "file"])
def test_appended_files_begin_again_where_the_note_does_not_fit(
    tmp_path: Path, damage: str
) -> None:
    with AppendedFiles(tmp_path, "pass", ("a",)) as files:
        files.append(b"one", seen=3)
    (tmp_path / {"note": "pass.json", "file": "a"}[damage]).write_bytes(b"x")
    with AppendedFiles(tmp_path, "pass", ("a",)) as files:
        assert files.lengths == [0] and files.state == {}
    assert (tmp_path / "a").read_bytes() == b""


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", train=6, test=2)
    (tmp_path / "set/test/class_03/00007.jpg").write_bytes(b"damaged")
    with pytest.raises(UserError, match="00007.jpg"):
        prepared.prepare("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_large_sets_are_prepared_without_pixels_and_get_them_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path / "set", train=20, test=5)
    where = {"data_dir": tmp_path / "set", "cache": tmp_path / "cache"}
    kept = prepared.open_prepared("mixed", data_dir=tmp_path / "set", cache=tmp_path / "other")
    monkeypatch.setattr(prepared_data, "KEPT_BYTES", 1000)
    data = prepared.open_prepared("mixed", **where)
    assert not data.has_pixels and data.decoded_bytes == kept.decoded_bytes
    assert data.digest == kept.digest, "images of different sizes: the same, whether kept or not"
    assert sorted(read_files(data.folder)) == FILES[:3]
    with pytest.raises(ValueError, match="without its pixels"):
        data.images("test", encoded=False)
    more = prepared.open_prepared("mixed", **where, pixels=True)
    assert more.folder == data.folder and more.has_pixels and data.has_pixels
    assert read_files(more.folder) == read_files(kept.folder)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == ["", ".lock"]


def test_the_digest_of_one_size_does_not_depend_on_what_is_kept_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_data, "KEPT_BYTES", 1000)
    data = prepared.open_prepared("digits", cache=tmp_path)
    assert not data.has_pixels
    more = prepared.open_prepared("digits", cache=tmp_path, pixels=True)
    assert more.has_pixels and more.digest == data.digest != "c745c7d116cc46c8"
    assert prepared.load_data_set("digits", cache=tmp_path).digest == data.digest


def test_transparent_and_turned_images_are_said_once(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    write_folders(tmp_path / "set", train=6, test=2)
    Image.new("RGBA", (5, 5)).save(tmp_path / "set/train/class_00/a.png")
    Image.new("RGBA", (5, 5)).save(tmp_path / "set/test/class_03/b.png")
    Image.new("RGB", (7, 5)).save(tmp_path / "set/train/class_00/c.png", exif=exif)
    data = prepared.open_prepared("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    assert data.notes[1:] == (
        "2 of 11 images have transparent pixels and are composed on white",
        "1 of 11 images are turned as their EXIF data say",
    )


def test_mean_and_std_are_those_of_all_training_pixels(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", train=20, test=5)
    data = prepared.open_prepared("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    images = data.images("training", encoded=True)
    pixels = np.concatenate(
        [images.pixels(i).reshape(3, -1).T.numpy() for i in range(len(images))]
    ).astype(np.float64)
    np.testing.assert_allclose(data.mean, pixels.mean(axis=0) / 255, rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(axis=0) / 255, rtol=1e-9)


# Prepares `own` from argv[1] into argv[2], with its pixels if argv[3] is "kept", after a few images
# from argv[1]/few; prints by how many bytes the largest resident size grew.
MEASURED = """
import sys
import torch, pyarrow.parquet
from tests.peak_memory import peak_memory
from trainables.data import prepared, prepared_data
from PIL import Image
Image.init()
if sys.argv[3] != "kept":
    prepared_data.KEPT_BYTES = 0
prepared.open_prepared("own", data_dir=sys.argv[1] + "/few", cache=sys.argv[2])  # imports the rest
before = peak_memory()
data = prepared.open_prepared("own", data_dir=sys.argv[1], cache=sys.argv[2])
grown = peak_memory() - before
print(grown, data.decoded_bytes, data.has_pixels)
images = data.images("training", encoded=True)
total = sum(images.pixels(index)[0, 0, 0].item() for index in range(0, len(images), 25))
print(peak_memory() - before, total > 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["kept", "encoded"])
def test_preparing_holds_few_images_in_memory(tmp_path: Path, kept: str) -> None:
    pictures = []
    for number in range(4):
        picture = np.random.default_rng(number).integers(1, 256, (4, 4, 3), dtype=np.uint8)
        pictures.append(encode(picture.repeat(128, axis=0).repeat(128, axis=1), "JPEG"))
    count = 200  # one group of rows
    encoded = [pictures[number % 4] for number in range(count)]
    for folder, images in ((tmp_path / "few", 8), (tmp_path, count)):
        train = images * 3 // 4
        folder.mkdir(exist_ok=True)
        write_parquet(folder / "train.parquet", encoded[:train], [i % 3 for i in range(train)])
        write_parquet(folder / "test.parquet", encoded[train:images], [0] * (images - train))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(tmp_path / "cache"), kept],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    grown, decoded, has_pixels, and_read, is_read = done.stdout.split()
    assert int(decoded) == count * 512 * 512 * 3 and is_read == "True"
    assert has_pixels == str(kept == "kept")
    # Two thirds of what is kept at most; it was 4.1 times as much.
    assert int(grown) < 100 * 2**20 and int(and_read) < 100 * 2**20


def test_a_source_that_shrinks_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    picture = draw_picture(1)

    def read(start: int):
        return (Record(encode(picture), 0, f"'{i}'") for i in range(start, 7))

    source = ImageSource("own", 8, 2, None, read)
    with pytest.raises(UserError, match="'own' changed while it was read: 7 images of 10"):
        image_store.gather(source, tmp_path)


def test_a_disk_that_fills_up_while_decoding_is_one_line(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", train=20, test=5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, before[1]))  # the encoded files take 25,000
    try:
        with pytest.raises(UserError, match="disk full.*PRUNING_DATA_CACHE") as caught:
            prepared.prepare("mixed", data_dir=tmp_path / "set", cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
