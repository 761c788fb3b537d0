"""A data set in memory: its splits, its statistics and its digest."""

import numpy as np
import pytest
import torch

from tests.trainables.data.parquet_images import write_dataset
from trainables.data import data_set, prepared


def test_parquet_gives_the_same_pixels_and_a_fixed_tenth_for_validation(tmp_path):
    x = write_dataset(tmp_path / "source")
    found = prepared.load_prepared(
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
    mean, std = data_set.channel_statistics(white)
    pixels = white.numpy().reshape(-1) / 255
    assert mean[0] == pytest.approx(pixels.mean(), rel=1e-14)
    assert std[0] == pytest.approx(pixels.std(), rel=1e-6)


def test_a_constant_channel_does_not_divide_by_zero():
    assert data_set.channel_statistics(torch.full((3, 2, 2, 1), 7, dtype=torch.uint8)) == (
        (7 / 255,),
        (1.0,),
    )


def test_digits_have_fixed_splits_and_full_range(tmp_path):
    from sklearn.datasets import load_digits

    found = prepared.load_data_set("digits", cache=tmp_path)
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
    found = prepared.load_data_set("own", data_dir=tmp_path / "source", cache=tmp_path / "cache")
    joined = found.joined()
    assert torch.equal(joined.train_x, torch.cat([found.train_x, found.val_x]))
    assert torch.equal(joined.train_y, torch.cat([found.train_y, found.val_y]))
    assert joined.val_x.shape == (0, 6, 5, 3) and joined.val_y.shape == (0,)
    np.testing.assert_allclose(
        joined.mean, joined.train_x.numpy().reshape(-1, 3).mean(0) / 255, rtol=1e-12
    )
    assert joined.digest == found.digest and len(found.val_x) == 4
