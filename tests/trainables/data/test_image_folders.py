"""Folders of image files: what is a class, what is an image, and what is said of the rest."""

from pathlib import Path

import pytest
import torch

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode
from trainables.data import prepared
from trainables.data.data_size import read_data_size, read_found_size
from trainables.data.image_folders import find_image_folders, list_images
from trainables.data.readers import open_folders

PICTURES = [encode(picture) for picture in draw_images(40, (5, 6, 3), seed=1)]


def fill(folder: Path, names: str, first: int = 0) -> None:
    """Image files of these names, each another image."""
    for number, name in enumerate(names.split(), first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURES[number])


def open_set(folder: Path, cache: Path, dataset: str = "mine") -> prepared.PreparedData:
    return prepared.open_prepared(dataset, data_dir=folder, cache=cache)


TRAIN = "train/dog/a.png train/dog/b.jpg train/cat/c.PNG train/cat/d.jpeg train/ant/e.bmp"


@pytest.mark.parametrize("test", ["test", "val", "validation", "valid"])
@pytest.mark.parametrize("place", [".", "mine"])
def test_classes_are_sorted_and_images_are_in_their_order(tmp_path, place, test):
    fill(tmp_path / place, f"{TRAIN} {test}/dog/1.png {test}/cat/2.webp {test}/cat/3.png")
    data = open_set(tmp_path, tmp_path / "cache")
    assert data.class_names == ("ant", "cat", "dog") and data.classes == 3
    assert data.counts == (4, 1, 3) and data.image == (3, 5, 6)
    said = [f"the images in {test}/ are the test split"] if test != "test" else []
    said += ["no test images of ant: the accuracy is that of the other classes"]
    assert list(data.notes) == said
    joined = data.joined().images("training", encoded=True)
    assert sorted(joined.labels.tolist()) == [0, 1, 1, 2, 2]
    images = data.images("test", encoded=True)
    assert images.labels.tolist() == [1, 1, 2]
    assert [images.encoded_bytes(i) for i in range(3)] == [PICTURES[6], PICTURES[7], PICTURES[5]]
    tensors = prepared.load_data_set("mine", data_dir=tmp_path, cache=tmp_path / "cache")
    assert torch.equal(images.pixels(1), tensors.test_x[1].permute(2, 0, 1))


def test_a_folder_without_tests_gets_a_fixed_tenth_that_is_said(tmp_path):
    for layout in ("train/", ""):
        top = tmp_path / (layout or "flat")
        fill(top, " ".join(f"{layout}{'ab'[i % 2]}/{i:02}.png" for i in range(30)))
        data = open_set(top, tmp_path / f"cache{len(layout)}")
        assert data.counts == (25, 2, 3)
        assert data.notes == (
            "there is no test split: a fixed tenth of the images is taken for it",
        )
        kept = data.images("test", encoded=True)
        by_content = {content: number for number, content in enumerate(PICTURES)}
        numbers = [by_content[kept.encoded_bytes(i)] for i in range(3)]
        assert numbers == [24, 5, 25], "pinned: results compare only on the same split"
        size = read_data_size("mine", top)
        assert (size.training, size.image, size.classes) == (27, (3, 5, 6), 2)
        assert read_found_size("mine", top).test == 3


def test_what_is_no_image_is_left_out_and_counted(tmp_path):
    fill(tmp_path, f"{TRAIN} test/dog/1.png")
    for name in ("train/dog/._a.png", "train/dog/.DS_Store", "train/.cache/x.png", ".git/y/z.png"):
        fill(tmp_path, name, 9)
    for name in ("train/dog/readme.txt", "train/cat/Thumbs.db", "train/list.txt"):
        (tmp_path / name).write_text("no image")
    data = open_set(tmp_path, tmp_path / "cache")
    assert data.counts == (4, 1, 1) and data.class_names == ("ant", "cat", "dog")
    assert data.notes[1:] == ("2 files are no images by their names and are left out",)


def test_links_and_deeper_folders_are_followed(tmp_path):
    fill(tmp_path / "elsewhere", "x.png deep/y.png")
    fill(tmp_path / "set", "train/cat/images/a.png test/cat/b.png", 2)
    (tmp_path / "set/train/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/train/cat/c.png").symlink_to(tmp_path / "elsewhere/x.png")
    data = open_set(tmp_path / "set", tmp_path / "cache")
    assert data.class_names == ("cat", "dog") and data.counts == (3, 1, 1)


def test_a_link_that_leads_back_gives_no_image_twice(tmp_path):
    """12 files were 252 images, in the training and in the validation split at once."""
    fill(tmp_path, "train/cat/a.png train/cat/deep/b.png train/dog/c.png test/cat/d.png")
    (tmp_path / "train/cat/again").symlink_to(tmp_path / "train/cat")
    (tmp_path / "train/cat/deep/up").symlink_to(tmp_path / "train")
    listing = list_images(tmp_path / "train", tmp_path / "test")
    assert [folder.names for folder in listing.train] == [("a.png", "deep/b.png"), ("c.png",)]


@pytest.mark.parametrize("other", ["Test", "eval", "val"])
def test_images_that_are_not_read_are_said(tmp_path, other):
    fill(tmp_path, f"{TRAIN} train/loose.png {other}/dog/1.png docs/shots/2.png")
    if other == "val":
        fill(tmp_path, "test/dog/3.png test/4.png", 10)
    listing = list_images(*find_image_folders(tmp_path))
    assert listing.unread == (other,) and listing.loose == 1 + (other == "val")
    notes = open_folders("mine", listing).notes
    assert f"the images in {other}/ are not read" in notes
    assert f"{listing.loose} images lie in no folder of a class and are left out" in notes


def test_tiny_imagenet_as_it_is_unpacked(tmp_path):
    fill(tmp_path, "train/n02/images/n02_0.JPEG train/n02/images/n02_1.JPEG")
    fill(tmp_path, "train/n01/images/n01_0.JPEG val/images/val_0.JPEG val/images/val_1.JPEG", 2)
    fill(tmp_path, "test/images/test_0.JPEG", 9)  # without labels
    (tmp_path / "train/n02/n02_boxes.txt").write_text("n02_0.JPEG\t0\t0\t1\t1\n")
    lines = "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t0\t1\t2\t3\n"
    (tmp_path / "val/val_annotations.txt").write_text(lines)
    data = open_set(tmp_path, tmp_path / "cache")
    assert data.class_names == ("n01", "n02") and data.counts == (2, 1, 2)
    images = data.images("test", encoded=True)
    assert images.labels.tolist() == [0, 1]
    assert [images.encoded_bytes(i) for i in (0, 1)] == [PICTURES[4], PICTURES[3]]
    (tmp_path / "val/val_annotations.txt").write_text("val_0.JPEG\tn09\t0\t1\t2\t3\n")
    with pytest.raises(UserError, match=r"val_annotations.txt', line 1 must name a file .* 'val_0"):
        open_set(tmp_path, tmp_path / "other")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        prepared.prepare("mine", data_dir=folder, cache=folder.parent / "cache")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_that_only_the_test_has_is_one_line(tmp_path):
    fill(tmp_path / "set", f"{TRAIN} test/dog/1.png test/eel/2.png")
    assert refusal(tmp_path / "set") == (
        f"'{tmp_path / 'set/test/eel'}' holds test images of a class that "
        f"'{tmp_path / 'set/train'}' does not have; remove that folder or add the class"
    )


def test_one_class_alone_is_one_line(tmp_path):
    """Any network would have an accuracy of 100 %."""
    fill(tmp_path / "set", "train/dog/a.png train/dog/b.png test/dog/c.png")
    assert refusal(tmp_path / "set").endswith(
        "train' has the images of one class alone, 'dog'; a folder for each class belongs in it, "
        "two at least"
    )


def test_a_class_without_images_is_one_line(tmp_path):
    fill(tmp_path / "set", TRAIN)
    (tmp_path / "set/train/eel").mkdir()
    (tmp_path / "set/train/eel/notes.txt").touch()
    assert "train/eel' holds no images; fill it or remove it" in refusal(tmp_path / "set")


@pytest.mark.parametrize("damage", ["shorten", "empty", "text"])
def test_a_damaged_image_is_named(tmp_path, damage):
    fill(tmp_path / "set", f"{TRAIN} test/dog/1.png")
    path = tmp_path / "set/train/cat/c.PNG"
    content = {"shorten": PICTURES[2][:-40], "empty": b"", "text": b"<html>"}[damage]
    path.write_bytes(content)
    assert f"cannot decode the image in '{path}': " in refusal(tmp_path / "set")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    fill(tmp_path / "set", TRAIN)
    (tmp_path / "set/train/cat/z.png").symlink_to(tmp_path / "gone.png")
    message = refusal(tmp_path / "set")
    assert "cannot list the images in" in message and "z.png" in message


def test_a_folder_of_projects_is_no_data_set(tmp_path):
    fill(tmp_path, "docs/assets/figure.png site/images/logo.png")
    assert find_image_folders(tmp_path) is None
    message = refusal(tmp_path)
    assert "no folders train/CLASS with images" in message


def test_the_fingerprint_sees_names_sizes_and_times(tmp_path):
    import os

    fill(tmp_path, f"{TRAIN} test/dog/1.png")
    path = tmp_path / "train/dog/a.png"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)

    def fingerprint() -> str:
        found = find_image_folders(tmp_path)
        assert found is not None
        return list_images(*found).fingerprint

    seen = {fingerprint(), fingerprint()}
    assert len(seen) == 1
    path.write_bytes(PICTURES[0] + b"x")
    os.utime(path, ns=times)
    seen.add(fingerprint())
    path.write_bytes(PICTURES[0])
    os.utime(path, ns=(times[0], times[1] + 1000))
    seen.add(fingerprint())
    os.utime(path, ns=times)
    assert len(seen) == 3 and fingerprint() in seen
    path.rename(path.with_name("aa.png"))
    seen.add(fingerprint())
    (tmp_path / "test/dog/1.png").unlink()
    seen.add(fingerprint())
    assert len(seen) == 5


def test_sizes_that_differ_need_an_image_size(tmp_path):
    fill(tmp_path, f"{TRAIN} test/dog/1.png")
    (tmp_path / "train/ant/e.bmp").write_bytes(encode(draw_images(1, (9, 3), seed=3)[0]))
    with pytest.raises(UserError) as caught:
        read_data_size("mine", tmp_path)
    assert str(caught.value) == (
        "the images of 'mine' differ in size (5 to 9 high, 3 to 6 wide); give image_size: 224, or "
        "another size that all are brought to"
    )
    assert read_data_size("mine", tmp_path, 32).image == (3, 32, 32)
    data = open_set(tmp_path, tmp_path / "cache")
    assert data.image is None and (data.smallest, data.largest) == ((5, 3), (9, 6))
