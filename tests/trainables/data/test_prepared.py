"""The prepared file: made once, whole or noticed, by however many processes."""

import multiprocessing
import os
import resource
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
from tests.trainables.data.parquet_images import write_dataset
from trainables.data import prepared, readers


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
    made = first.stat().st_mtime_ns
    os.utime(tmp_path / "source/test-00000-of-00001.parquet")
    assert prepared.prepare("own", data_dir=tmp_path / "source", cache=tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
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


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty", "foreign"])
def test_a_damaged_prepared_file_is_noticed_and_made_anew(tmp_path, damage):
    path = prepared.prepare("digits", cache=tmp_path)
    good = prepared.load_prepared(path).digest
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
        prepared.load_prepared(path)
    with pytest.warns(UserWarning, match="prepare makes them anew"):
        assert prepared.prepare("digits", cache=tmp_path) == path
    assert prepared.load_prepared(path).digest == good


def test_a_prepared_file_of_other_types_is_noticed_though_its_checksum_is_right(tmp_path):
    path = prepared.prepare("digits", cache=tmp_path)
    good = torch.load(path, weights_only=True)
    for name, kind in (("train_x", torch.int8), ("test_y", torch.float64)):
        torch.save({**good, name: good[name].view(kind)}, tmp_path / "other.pt")
        with pytest.raises(UserError, match="do not match their checksum"):
            prepared.load_prepared(tmp_path / "other.pt")
    torch.save({**good, "more": 1}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="cannot load the prepared data"):
        prepared.load_prepared(tmp_path / "other.pt")


def test_a_folder_in_the_place_of_a_prepared_file_is_one_line(tmp_path):
    path = prepared.prepare("digits", cache=tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot load the prepared data"):
        prepared.load_prepared(path)
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
    found = prepared.load_prepared(path)
    for tensor in (found.train_x, found.val_y, found.test_x):
        at = content.index(tensor.numpy().tobytes())
        other = tmp_path / "other.pt"
        other.write_bytes(content[: at + 3] + bytes([content[at + 3] ^ 128]) + content[at + 4 :])
        with pytest.raises(UserError, match="checksum"):
            prepared.load_prepared(other)
        other.unlink()


def start_and_load(source: str, cache: str, marks: str, begin) -> str:
    torch.set_num_threads(1)
    original = readers.read_images

    def counted(*positional, **named):
        Path(marks, str(os.getpid())).touch()
        time.sleep(0.2)  # wide enough for the others to arrive
        return original(*positional, **named)

    readers.read_images = counted
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
    assert [path.suffix for path in sorted((tmp_path / "cache").iterdir())] == [".lock", ".pt"]


def test_without_locks_several_may_prepare_and_the_file_is_still_whole(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = prepared.prepare("digits", cache=tmp_path)
    assert prepared.load_prepared(path).digest == "c745c7d116cc46c8"


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
