"""Names of data sets, and the files of those of the user.

Covers: trainables/data/error_text.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import write_dataset
from trainables.data import catalog


def test_check_imports_neither_torch_nor_torchvision():
    program = (
        "import sys; from trainables.data import catalog; catalog.check_data_set('cifar10');"
        "print({'torch', 'torchvision'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_known_names_need_no_folder(name):
    catalog.check_data_set(name)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(
        UserError, match=r"no data set 'cifr10'; did you mean 'cifar10'\?.*--data-dir"
    ):
        catalog.check_data_set("cifr10")


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="letters, digits"):
        catalog.check_data_set(name, tmp_path)


def test_a_missing_folder_is_named_even_for_digits(tmp_path):
    for name in ("own", "cifar10", "digits"):
        with pytest.raises(UserError, match="'.*nowhere' is missing"):
            catalog.check_data_set(name, tmp_path / "nowhere")


def test_a_folder_without_one_of_the_splits_is_refused(tmp_path):
    write_dataset(tmp_path)
    catalog.check_data_set("own", tmp_path)
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(
        UserError, match=r"no train\*.parquet and test\*.parquet of 'cifar10'.*leave out --data-dir"
    ):
        catalog.check_data_set("cifar10", tmp_path)
    with pytest.raises(UserError) as caught:
        catalog.check_data_set("own", tmp_path)
    assert "leave out" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [".", "data", "own", "own/data"])
def test_parquet_is_found_in_every_usual_place(tmp_path, place):
    write_dataset(tmp_path / place)
    files = catalog.find_files("own", tmp_path)
    assert isinstance(files, catalog.ParquetFiles)
    assert [path.name[:11] for path in files.train] == ["train-00000", "train-00001"]


def test_the_fingerprint_sees_one_changed_byte_and_a_changed_name(tmp_path):
    write_dataset(tmp_path)
    files = catalog.find_files("own", tmp_path)
    assert isinstance(files, catalog.ParquetFiles)
    before, path = catalog.fingerprint_files(files), files.train[1]
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    assert catalog.fingerprint_files(files) != before
    path.write_bytes(content)
    assert catalog.fingerprint_files(files) == before
    path.rename(path.with_name("train-00002-of-00002.parquet"))
    renamed = catalog.find_files("own", tmp_path)
    assert isinstance(renamed, catalog.ParquetFiles)
    assert catalog.fingerprint_files(renamed) != before


def test_of_large_files_time_size_and_ends_count(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "HASHED_WHOLE", 1000)
    monkeypatch.setattr(catalog, "_END", 64)
    write_dataset(tmp_path)
    files = catalog.find_files("own", tmp_path)
    assert isinstance(files, catalog.ParquetFiles)
    path = files.train[1]
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    before, content = catalog.fingerprint_files(files), path.read_bytes()
    assert before == catalog.fingerprint_files(files)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=times)
    assert catalog.fingerprint_files(files) != before, "its end"
    path.write_bytes(content)
    os.utime(path, ns=times)
    assert catalog.fingerprint_files(files) == before
    os.utime(path, ns=(times[0], times[1] + 1))
    assert catalog.fingerprint_files(files) != before, "its time"


def test_parquet_goes_before_folders_and_the_own_folder_before_the_one_above(tmp_path):
    for place in ("train/cat", "own/train/dog", "other/cat"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.jpg").touch()
    assert catalog.find_files("own", tmp_path) == catalog.ImageFolders(tmp_path / "own/train", None)
    assert catalog.find_files("other", tmp_path) == catalog.ImageFolders(tmp_path / "other", None)
    assert catalog.find_files("new", tmp_path) == catalog.ImageFolders(tmp_path / "train", None)
    write_dataset(tmp_path)
    assert isinstance(catalog.find_files("own", tmp_path), catalog.ParquetFiles)


@pytest.mark.parametrize(
    ("name", "repository", "configuration"),
    [
        ("hf:uoft-cs/cifar100", "uoft-cs/cifar100", None),
        ("hf:mnist", "mnist", None),
        ("hf:a/b:fine_1", "a/b", "fine_1"),
    ],
)
def test_names_of_the_hub_need_no_folder(name, repository, configuration):
    catalog.check_data_set(name)
    found = catalog.find_files(name, None)
    assert found == catalog.HubDataSet(repository, configuration)
    assert "/" not in catalog.file_name(name) and ":" not in catalog.file_name(name)


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:../x", "hf:a b", "hf:a/b:", "hf:a/.b"])
def test_a_name_that_the_hub_cannot_have_is_refused(name):
    with pytest.raises(UserError, match="named hf:OWNER/NAME") as caught:
        catalog.check_data_set(name)
    assert "\n" not in str(caught.value)
