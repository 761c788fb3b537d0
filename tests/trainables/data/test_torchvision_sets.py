"""Data sets that torchvision downloads, from files as it leaves them, made small."""

import gzip
import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode
from trainables.data import catalog, prepared


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
    found = prepared.load_data_set(name, cache=tmp_path)
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
    meta = write("names", {family.meta["key"]: ["a"] * catalog.DATASETS[name]})
    monkeypatch.setattr(family, "train_list", [["first", train]])
    monkeypatch.setattr(family, "test_list", [["second", test]])
    monkeypatch.setattr(family, "meta", {**family.meta, "filename": "names", "md5": meta})
    found = prepared.load_data_set(name, cache=tmp_path)
    assert (found.image, found.classes) == ((3, 32, 32), catalog.DATASETS[name])
    assert torch.equal(found.test_x, torch.from_numpy(x[8:].transpose(0, 2, 3, 1).copy()))
    assert found.test_x.is_contiguous() and found.test_y.tolist() == [8, 9, 0, 1]


@pytest.mark.parametrize("name", catalog.TORCHVISION)
def test_a_failed_download_is_one_line_that_names_the_way_out(tmp_path, monkeypatch, name):
    import urllib.error
    import urllib.request

    def refuse(*_, **__):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match="torchvision cannot download.*--data-dir") as caught:
        prepared.prepare(name, cache=tmp_path)
    assert "\n" not in str(caught.value)


def colours(count: int, side: int, seed: int) -> np.ndarray:
    return draw_images(count, (side, side, 3), seed=seed)


def test_svhn_is_read_with_its_digit_0_as_class_0(tmp_path, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    folder, split_list = tmp_path / "torchvision", {}
    folder.mkdir()
    x = {"train": colours(6, 32, 1), "test": colours(3, 32, 2)}
    y = {"train": [1, 10, 3, 4, 5, 6], "test": [10, 2, 9]}
    for split, images in x.items():
        path = folder / f"{split}.mat"
        savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": np.array(y[split])[:, None]})
        split_list[split] = ["url", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", split_list)
    found = prepared.load_data_set("svhn", cache=tmp_path)
    assert (found.image, found.classes) == ((3, 32, 32), 10)
    assert found.test_y.tolist() == [0, 2, 9]
    assert torch.equal(found.test_x, torch.from_numpy(x["test"]))


def test_stl10_is_read_without_its_unlabelled_images(tmp_path, monkeypatch):
    from torchvision.datasets import STL10

    folder = tmp_path / "torchvision" / STL10.base_folder
    folder.mkdir(parents=True)
    x, lists = {"train": colours(5, 96, 3), "test": colours(2, 96, 4)}, {}
    y = {"train": [1, 2, 3, 4, 10], "test": [7, 1]}
    for split, images in x.items():
        # Their files have columns before rows, channel by channel.
        (folder / f"{split}_X").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y").write_bytes(bytes(y[split]))
        lists[split] = [
            [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]
            for name in (f"{split}_X", f"{split}_y")
        ]
    names = [f"class {number}" for number in range(10)]
    (folder / "class_names.txt").write_text("\n".join(names))
    monkeypatch.setattr(STL10, "train_list", lists["train"])
    monkeypatch.setattr(STL10, "test_list", lists["test"])
    found = prepared.load_data_set("stl10", cache=tmp_path)
    assert (found.image, len(found.train_x)) == ((3, 96, 96), 4)
    assert found.test_y.tolist() == [6, 0]
    assert torch.equal(found.test_x, torch.from_numpy(x["test"]))
    assert prepared.open_prepared("stl10", cache=tmp_path).class_names == tuple(names)


def save(path: Path, number: int) -> bytes:
    """A small JPEG file, each of another size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(draw_images(1, (4 + number, 6, 3), seed=number)[0], "JPEG"))
    return path.read_bytes()


def check_files(name: str, cache: Path, counts: tuple, test: dict[bytes, int]) -> None:
    """The prepared set has so many images, and these files with these labels for the test."""
    data = prepared.open_prepared(name, cache=cache)
    assert data.counts == counts and data.classes == catalog.DATASETS[name] and data.image is None
    images = data.images("test", encoded=True)
    labels = images.labels.tolist()
    assert {images.encoded_bytes(i): labels[i] for i in range(len(images))} == test


def test_food101_is_read(tmp_path):
    top = tmp_path / "torchvision/food-101"
    classes = [f"food{number:03}" for number in range(101)]
    splits, content = {"train": {}, "test": {}}, {}
    for label, name in enumerate(classes):
        for split in ("train", "test") if label in (0, 100) else ("train",):
            file = f"{name}/{split}"
            splits[split].setdefault(name, []).append(file)
            content[file] = (save(top / "images" / f"{file}.jpg", label), label)
        splits["test"].setdefault(name, [])
    (top / "meta").mkdir()
    for split, files in splits.items():
        (top / "meta" / f"{split}.json").write_text(json.dumps(files))
    test = dict(content[f"{name}/test"] for name in (classes[0], classes[100]))
    check_files("food101", tmp_path, (91, 10, 2), test)
    assert prepared.open_prepared("food101", cache=tmp_path).class_names == tuple(classes)


def test_flowers102_is_trained_on_both_of_its_training_splits(tmp_path, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import Flowers102

    top = tmp_path / "torchvision/flowers-102"
    content = [save(top / "jpg" / f"image_{number:05}.jpg", number) for number in range(1, 9)]
    savemat(top / "setid.mat", {"trnid": [[1, 3]], "valid": [[2, 8]], "tstid": [[4, 5, 6, 7]]})
    savemat(top / "imagelabels.mat", {"labels": [[1, 2, 3, 102, 5, 6, 7, 8]]})
    listed = {
        name: (file, hashlib.md5((top / file).read_bytes()).hexdigest())
        for name, file in (("label", "imagelabels.mat"), ("setid", "setid.mat"))
    }
    monkeypatch.setattr(Flowers102, "_file_dict", listed)
    test = dict(zip(content[3:7], [101, 4, 5, 6], strict=True))
    check_files("flowers102", tmp_path, (3, 1, 4), test)
    data = prepared.open_prepared("flowers102", cache=tmp_path)
    assert data.notes == ("the training images are those of its splits train and val",)
    assert data.class_names and data.class_names[0] == "pink primrose"


def test_oxford_pets_are_read(tmp_path):
    top = tmp_path / "torchvision/oxford-iiit-pet"
    content = [save(top / "images" / f"Breed_{number}.jpg", number) for number in range(5)]
    (top / "annotations").mkdir()
    (top / "annotations/trainval.txt").write_text("Breed_0 1 1 1\nBreed_1 37 2 1\nBreed_2 2 1 1\n")
    (top / "annotations/test.txt").write_text("Breed_3 37 2 1\nBreed_4 1 1 1\n")
    check_files("oxford_iiit_pet", tmp_path, (2, 1, 2), {content[3]: 36, content[4]: 0})


def test_imagenette_has_its_validation_images_as_test(tmp_path):
    from torchvision.datasets import Imagenette

    top = tmp_path / "torchvision/imagenette2"
    classes = sorted(Imagenette._WNID_TO_CLASS)
    test = {}
    for label, wnid in enumerate(classes):
        save(top / "train" / wnid / "a.JPEG", label)
        test[save(top / "val" / wnid / "b.JPEG", 20 + label)] = label
    check_files("imagenette", tmp_path, (9, 1, 10), test)
    data = prepared.open_prepared("imagenette", cache=tmp_path)
    assert data.class_names and data.class_names[0] == "tench"
    assert data.notes == ("its split val is the test split",)
