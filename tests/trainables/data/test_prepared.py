"""The prepared data: made once, whole or noticed, by however many processes.

Covers: trainables/data/prepared_data.py.
"""

import hashlib
import json
import multiprocessing
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pruning.user_error import UserError
from tests.raising import raising
from tests.trainables.data.parquet_images import (
    draw_images,
    encode,
    write_dataset,
    write_parquet,
)
from tests.troubles import check_trouble
from trainables.data import prepared


def test_loading_parquet_imports_no_torchvision(tmp_path):
    write_dataset(tmp_path / "source")
    program = (
        "import sys; from trainables.data.prepared import load_data_set;"
        "load_data_set('own', data_dir=sys.argv[1], cache=sys.argv[2]);"
        "print('torchvision' in sys.modules)"
    )
    folders = [str(tmp_path / "source"), str(tmp_path / "cache")]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program, *folders],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_changed_data_are_prepared_anew_and_touched_ones_are_not(tmp_path):
    write_dataset(tmp_path / "source")
    first = prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    made = (first / "facts.json").stat().st_mtime_ns
    os.utime(tmp_path / "source/test-00000-of-00001.parquet")
    assert prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache") == first
    assert (first / "facts.json").stat().st_mtime_ns == made
    shard = tmp_path / "source/train-00001-of-00002.parquet"
    table = pq.read_table(shard)
    labels = pa.array([3 - label for label in table["label"].to_pylist()])
    pq.write_table(table.set_column(1, "label", labels), shard)
    second = prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    assert (
        second != first
        and prepared.load_prepared(second).digest != prepared.load_prepared(first).digest
    )


def test_the_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNING_DATA_CACHE", str(tmp_path / "a"))
    assert prepared.prepare("digits").parent == tmp_path / "a"
    monkeypatch.delenv("PRUNING_DATA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert prepared.prepare("digits").parent == tmp_path / "home/.cache/pruning-studies"
    first = prepared.load_data_set("digits", cache=tmp_path / "a")
    assert prepared.load_data_set("digits", cache=str(tmp_path / "a")) is first


def test_without_any_home_folder_the_way_out_is_said(monkeypatch):
    for name in ("PRUNING_DATA_CACHE", "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", raising(KeyError("no such user")))
    with pytest.raises(UserError) as caught:
        prepared.prepare("digits")
    check_trouble("there is no home folder at all", str(caught.value))


FILES = ["facts.json", "index.npy", "encoded.bin", "pixels.bin"]


def prepare_own(folder: Path) -> Path:
    """Fifty small images of the folder's own, made when there are none yet."""
    if not (folder / "source").exists():
        write_dataset(folder / "source")
    return prepared.prepare("own", data_dir=folder / "source", cache=folder / "cache")


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_noticed_and_all_made_anew(tmp_path, name, damage):
    path = prepare_own(tmp_path)
    good = prepared.load_prepared(path).digest
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()  # the old file may still be mapped into this process
    if damage != "gone":
        cut = {"flip": len(content), "shorten": len(content) // 2, "empty": 0}[damage]
        file.write_bytes(content[:cut])
    if (name, damage) != ("encoded.bin", "flip"):  # which tensors do not need
        with pytest.raises(UserError, match="prepare makes them anew"):
            prepared.load_prepared(path)
    with pytest.warns(UserWarning, match="prepare makes them anew|do not match their checksum"):
        assert prepare_own(tmp_path) == path
    assert prepared.load_prepared(path).digest == good
    assert sorted(entry.name for entry in path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("field", ["train_x", "val_y", "test_x"])
def test_every_flipped_byte_of_the_pixels_and_labels_is_noticed(tmp_path, field):
    path = prepare_own(tmp_path)
    data = prepared.load_prepared(path)
    wanted = getattr(data, field)[0].numpy().tobytes()
    file = path / ("pixels.bin" if field.endswith("_x") else "index.npy")
    content = file.read_bytes()
    at = content.index(wanted) + min(3, len(wanted) - 1)
    file.unlink()
    file.write_bytes(content[:at] + bytes([content[at] ^ 128]) + content[at + 1 :])
    with pytest.raises(UserError, match="do not match their checksum"):
        prepared.load_prepared(path)


def test_other_facts_are_noticed(tmp_path):
    path = prepare_own(tmp_path)
    sealed = json.loads((path / "facts.json").read_text())
    facts = json.loads(sealed["facts"])
    for changed in ({**facts, "classes": 11}, {**facts, "more": 1}, {"name": "digits"}, [1]):
        text = json.dumps(changed)
        for checksum in (sealed["checksum"], hashlib.sha256(text.encode()).hexdigest()):
            (path / "facts.json").write_text(json.dumps({"facts": text, "checksum": checksum}))
            with pytest.raises(UserError, match="prepared data.*prepare makes them anew"):
                prepared.load_prepared(path)


@pytest.mark.parametrize("planted", ["file", "folder"])
def test_something_else_in_the_place_of_a_prepared_folder_is_replaced(tmp_path, planted):
    path = prepare_own(tmp_path)
    good = prepared.load_prepared(path).digest
    shutil.rmtree(path)
    path.write_text("") if planted == "file" else path.mkdir()
    with pytest.raises(UserError, match="cannot load the prepared data"):
        prepared.load_prepared(path)
    with pytest.warns(UserWarning, match="prepare makes them anew"):
        prepare_own(tmp_path)
    assert prepared.load_prepared(path).digest == good


def start_and_load(source: str, cache: str, marks: str, begin) -> str:
    torch.set_num_threads(1)
    original = prepared.gather

    def counted(*positional, **named):
        Path(marks, str(os.getpid())).touch()
        time.sleep(0.2)  # wide enough for the others to arrive
        return original(*positional, **named)

    prepared.gather = counted
    begin.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prepared.load_data_set("own", data_dir=source, cache=cache).digest


def load_into(queue, *arguments) -> None:
    queue.put(start_and_load(*arguments))


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
    processes = [context.Process(target=load_into, args=arguments) for _ in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 12
    digests = {queue.get(timeout=60) for _ in processes}
    expected = prepared.load_data_set(
        "own", data_dir=tmp_path / "source", cache=tmp_path / "elsewhere"
    ).digest
    assert digests == {expected}
    assert len(list((tmp_path / "marks").iterdir())) == 1
    first, second = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert second == f"{first}.lock"


def test_without_locks_several_may_prepare_and_the_file_is_still_whole(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = prepared.prepare("digits", cache=tmp_path)
    assert prepared.load_prepared(path).digest == "c745c7d116cc46c8"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, f"{path.name}.lock"]


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


@pytest.mark.parametrize(
    ("name", "shape", "digest"),
    [
        ("cifar10", (32, 32, 3), "13cceef48149b884"),
        ("grey", (9, 7), "5b5f99be17e469b3"),
        ("mixed", (9, 7), "ace654b2a2358d97"),
    ],
)
def test_digests_are_those_of_the_versions_before(tmp_path, name, shape, digest):
    """Rows of studies carry them; computed with the version that prepared one file of tensors."""
    count = 60 if name == "cifar10" else 30
    pictures = [encode(p) for p in draw_images(count, shape, seed=7 if count == 60 else 8)]
    if name == "mixed":
        pictures[3] = encode(draw_images(1, (9, 7, 3), seed=9)[0])
    labels = [3 * number % 10 for number in range(count)]
    cut = count - 10
    write_parquet(tmp_path / name / "train.parquet", pictures[:cut], labels[:cut])
    write_parquet(tmp_path / name / "test.parquet", pictures[cut:], labels[cut:])
    data = prepared.load_data_set(name, data_dir=tmp_path, cache=tmp_path / "cache")
    assert data.digest == digest
    if name == "grey":
        assert data.mean == (0.4930974859079434,) and data.std == (0.28742967853747775,)
        joined = prepared.open_prepared(name, data_dir=tmp_path, cache=tmp_path / "cache").joined()
        assert (joined.mean, joined.std) == ((0.4963367569249922,), (0.2888651762523816,))
        assert data.joined().mean == joined.mean and data.joined().std == joined.std


def test_an_own_data_set_has_the_digest_of_the_versions_before(tmp_path):
    write_dataset(tmp_path / "own")
    data = prepared.open_prepared("own", data_dir=tmp_path, cache=tmp_path / "cache")
    assert data.digest == "ac79cb8f0036ff7c"


def test_classes_and_notes_are_said_once(tmp_path, capsys):
    for number in range(24):
        path = tmp_path / f"set/class_{number % 12:02}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(draw_images(1, (4, 4), seed=number)[0]))
    for cache in ("cache", "cache", "other"):
        prepared.prepare("mine", data_dir=tmp_path / "set", cache=tmp_path / cache)
        said = capsys.readouterr().err.splitlines()
        names = ", ".join(f"class_{number:02}" for number in range(10))
        expected = [
            f"data set 'mine': 12 classes: {names}, ...",
            "data set 'mine': there is no test split: a fixed tenth of the images is taken for it",
        ]
        assert said == expected or (cache == "cache" and said == [])
    assert len(list((tmp_path / "cache").iterdir())) == 2
