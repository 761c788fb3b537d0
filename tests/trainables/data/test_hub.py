"""Data sets of the Hugging Face Hub, with a stand-in for the library that downloads."""

import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode
from trainables.data import hub, prepared
from trainables.data.catalog import HubDataSet
from trainables.data.data_size import read_data_size

NAMES = ["ant", "bee", "cat"]


def write(path: Path, labels: list[int], seed: int, column: str = "label") -> None:
    """A Parquet file as the library `datasets` writes it, with the names of the classes."""
    images = [
        {"bytes": encode(picture), "path": f"{number}.png"}
        for number, picture in enumerate(draw_images(len(labels), (4, 5, 3), seed=seed))
    ]
    features = {column: {"names": NAMES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = pa.table({"image": images, column: pa.array(labels, pa.int64())})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


class Hub(types.ModuleType):
    """The parts of `huggingface_hub` that are used: repositories are folders, by revision."""

    def __init__(self, remote: Path, cache: Path) -> None:
        super().__init__("huggingface_hub")
        self.remote, self.cache, self.online = remote, cache, True
        self.fetched: list[str] = []

    def folder(self, repository: str, revision: str | None) -> Path:
        folder = self.remote / repository / (revision or "main").replace("/", "-")
        if not self.online:
            raise ConnectionError("no route\nto host")
        if not folder.is_dir():
            raise FileNotFoundError(f"404: {repository}")
        return folder

    def HfApi(self) -> "Hub":  # noqa: N802
        return self

    def list_repo_files(self, repository: str, *, repo_type: str, revision: str | None) -> list:
        assert repo_type == "dataset"
        folder = self.folder(repository, revision)
        return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]

    def snapshot_download(
        self,
        repository: str,
        *,
        repo_type: str,
        revision: str | None,
        local_files_only: bool,
        allow_patterns: list[str] | None = None,
    ) -> str:
        assert repo_type == "dataset"
        place = self.cache / repository / (revision or "main").replace("/", "-")
        if local_files_only:
            if not place.is_dir():
                raise FileNotFoundError("not in the cache")
            return str(place)
        folder = self.folder(repository, revision)
        for name in allow_patterns or []:
            self.fetched.append(name)
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((folder / name).read_bytes())
        return str(place)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub(tmp_path / "remote", tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", made)
    hub.download_parquet.cache_clear()
    yield made
    hub.download_parquet.cache_clear()


def test_a_data_set_is_downloaded_and_read(tmp_path: Path, fake: Hub) -> None:
    main = fake.remote / "me/insects/main"
    write(main / "data/train-00000-of-00002.parquet", [0, 1, 2, 0, 1], 1)
    write(main / "data/train-00001-of-00002.parquet", [2, 0, 1, 2, 0], 2)
    write(main / "data/test-00000-of-00001.parquet", [2, 1], 3)
    write(main / "data/validation-00000-of-00001.parquet", [2, 1, 0], 3)
    (main / "README.md").write_text("a card")
    data = prepared.open_prepared("hf:me/insects", cache=tmp_path / "cache")
    assert data.class_names == ("ant", "bee", "cat") and data.counts == (9, 1, 2)
    assert data.images("test", encoded=True).labels.tolist() == [2, 1] and data.notes == ()
    assert data.folder.parent == tmp_path / "cache"
    size = read_data_size("hf:me/insects", None)
    assert (size.training, size.image, size.classes) == (10, (3, 4, 5), 3)
    assert all(name.endswith(".parquet") for name in fake.fetched) and len(fake.fetched) == 3


@pytest.mark.parametrize("column", ["label", "labels", "fine_label"])
def test_the_usual_columns_of_labels_are_found(tmp_path: Path, fake: Hub, column: str) -> None:
    for split in ("train", "test"):
        path = fake.remote / f"me/{column}/main/data/{split}-0.parquet"
        write(path, [2, 1, 0], 1, column)
    data = prepared.open_prepared(f"hf:me/{column}", cache=tmp_path / "cache")
    assert data.images("test", encoded=True).labels.tolist() == [2, 1, 0]
    assert data.class_names == tuple(NAMES)


@pytest.mark.parametrize("test", ["missing", "without labels"])
def test_the_validation_split_stands_in_for_the_test_and_that_is_said(
    tmp_path: Path, fake: Hub, test: str
) -> None:
    main = fake.remote / "me/insects/main/data"
    write(main / "train-0.parquet", [0, 1, 2, 0], 1)
    write(main / "validation-0.parquet", [2, 2], 2)
    why = "there is no test split"
    if test == "without labels":
        write(main / "test-0.parquet", [-1, -1, -1], 3)
        why = "the test split has no labels"
    data = prepared.open_prepared("hf:me/insects", cache=tmp_path / "cache")
    assert data.counts == (3, 1, 2) and data.images("test", encoded=True).labels.tolist() == [2, 2]
    assert data.notes == (f"{why}: the validation split is taken for it",)


def test_with_a_training_split_alone_a_fixed_tenth_is_the_test(tmp_path: Path, fake: Hub) -> None:
    write(fake.remote / "me/insects/main/train.parquet", [0, 1, 2] * 10, 1)
    data = prepared.open_prepared("hf:me/insects", cache=tmp_path / "cache")
    assert data.counts == (25, 2, 3)
    assert data.notes == ("there is no test split: a fixed tenth of the images is taken for it",)


def test_configurations_are_chosen_by_name(tmp_path: Path, fake: Hub) -> None:
    main = fake.remote / "me/insects/main"
    for number, name in enumerate(("small", "large")):
        write(main / name / "train-0.parquet", [0, 1] * (number + 1), 1)
        write(main / name / "test-0.parquet", [number], 2)
    with pytest.raises(UserError) as caught:
        prepared.prepare("hf:me/insects", cache=tmp_path / "cache")
    assert str(caught.value) == (
        "'hf:me/insects' has several configurations; choose one of hf:me/insects:large, "
        "hf:me/insects:small"
    )
    data = prepared.open_prepared("hf:me/insects:large", cache=tmp_path / "cache")
    assert data.counts == (3, 1, 1)
    with pytest.raises(UserError, match="no configuration 'tiny'; choose one of hf:me/insects:l"):
        prepared.prepare("hf:me/insects:tiny", cache=tmp_path / "cache")


def test_a_single_configuration_needs_no_name() -> None:
    names = ["cifar100/train-00000-of-00001.parquet", "cifar100/test-00000-of-00001.parquet"]
    chosen = hub.choose_files(HubDataSet("uoft-cs/cifar100", None), [*names, "README.md"])
    assert chosen == ([names[0]], [names[1]], [])


def test_what_the_hub_has_converted_is_taken_where_the_repository_has_no_parquet(
    tmp_path: Path, fake: Hub
) -> None:
    (fake.remote / "me/insects/main").mkdir(parents=True)
    (fake.remote / "me/insects/main/insects.zip").write_bytes(b"")
    converted = fake.remote / "me/insects/refs-convert-parquet/default"
    write(converted / "train/0000.parquet", [0, 1, 2], 1)
    write(converted / "test/0000.parquet", [1], 2)
    assert prepared.open_prepared("hf:me/insects", cache=tmp_path / "c").counts == (2, 1, 1)


def test_without_a_network_the_cache_answers_and_else_it_is_one_line(
    tmp_path: Path, fake: Hub
) -> None:
    for split in ("train", "test"):
        write(fake.remote / f"me/insects/main/{split}.parquet", [0, 1, 2], 1)
    first = prepared.prepare("hf:me/insects", cache=tmp_path / "cache")
    fake.online = False
    hub.download_parquet.cache_clear()
    assert prepared.prepare("hf:me/insects", cache=tmp_path / "cache") == first
    with pytest.raises(UserError) as caught:
        prepared.prepare("hf:me/others", cache=tmp_path / "cache")
    assert str(caught.value) == (
        "cannot download 'hf:me/others' (no route to host); check its name, connect to the "
        "network, or give its files by --data-dir"
    )


def test_a_repository_without_images_in_parquet_is_one_line(tmp_path: Path, fake: Hub) -> None:
    (fake.remote / "me/texts/main").mkdir(parents=True)
    with pytest.raises(UserError, match="'hf:me/texts' has no Parquet files of a split 'train'"):
        prepared.prepare("hf:me/texts", cache=tmp_path / "cache")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"needs the package huggingface_hub: pip install"):
        prepared.prepare("hf:me/never", cache=tmp_path)


def test_the_real_library_has_what_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, so that nothing is asked of a network."""
    library = pytest.importorskip("huggingface_hub")
    asked = inspect.signature(library.HfApi.list_repo_files).parameters
    fetched = inspect.signature(library.snapshot_download).parameters
    assert {"repo_type", "revision"} <= set(asked)
    assert {"repo_type", "revision", "allow_patterns", "local_files_only"} <= set(fetched)
