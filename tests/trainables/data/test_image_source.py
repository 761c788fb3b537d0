"""Splits that are the same on every machine."""

import numpy as np
import pytest

from pruning.user_error import UserError
from trainables.data.image_source import ImageSource, choose_fixed, count_held_out


def split(train: int, test: int) -> np.ndarray:
    return ImageSource("own", train, test, None, lambda start: iter(())).splits()


def test_a_tenth_of_the_training_images_is_held_out():
    splits = split(40, 10)
    assert np.bincount(splits).tolist() == [36, 4, 10]
    assert np.flatnonzero(splits == 1).tolist() == [10, 16, 35, 39], "pinned"
    assert (splits[40:] == 2).all()


def test_without_a_test_split_a_tenth_of_all_is_taken_first():
    splits = split(40, 0)
    assert np.bincount(splits).tolist() == [33, 3, 4]
    assert np.flatnonzero(splits == 2).tolist() == [10, 16, 35, 39], "pinned"


@pytest.mark.parametrize(("train", "test"), [(1, 5), (0, 5), (1, 0), (2, 0)])
def test_too_few_images_are_one_line(train, test):
    with pytest.raises(UserError, match="needs at least 2 images, but 'own' has"):
        split(train, test)


def test_a_choice_is_fixed_and_of_the_size_that_was_asked():
    chosen = choose_fixed(1000, 100)
    assert chosen.sum() == 100 and np.array_equal(chosen, choose_fixed(1000, 100))
    assert count_held_out(1000) == 100 and count_held_out(5) == 1
