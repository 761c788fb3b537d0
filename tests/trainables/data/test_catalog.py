"""Names of data sets, and the files of those of the user."""

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
    files = catalog.find_parquet_files("own", tmp_path)
    assert files is not None
    assert [path.name[:11] for path in files.train] == ["train-00000", "train-00001"]


def test_the_fingerprint_sees_one_changed_byte_and_a_changed_name(tmp_path):
    write_dataset(tmp_path)
    files = catalog.find_parquet_files("own", tmp_path)
    assert files is not None
    before, path = catalog.fingerprint_files(files), files.train[1]
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    assert catalog.fingerprint_files(files) != before
    path.write_bytes(content)
    assert catalog.fingerprint_files(files) == before
    path.rename(path.with_name("train-00002-of-00002.parquet"))
    assert catalog.fingerprint_files(catalog.find_parquet_files("own", tmp_path)) != before
