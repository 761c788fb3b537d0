"""The number of test images of a setting: from its rows, else from what is known of the data."""

from typing import Any

import pandas as pd
import pytest

from analysis.reading.size_of_test_set import TEST_IMAGES, find_test_images
from trainables.data.catalog import DATASETS
from trainables.data.readers import FoundSource


def make_rows(right: list[int], images: int, **columns: Any) -> pd.DataFrame:
    """Rows of so many test images with so many classified right, as an older version wrote them."""
    rows = pd.DataFrame({"test_top1": [100 * number / images for number in right]})
    rows = rows.assign(dataset="digits", test_images=pd.array([pd.NA] * len(rows), dtype="Int64"))
    return rows.assign(**columns)


def test_rows_name_the_number() -> None:
    assert find_test_images(make_rows([300, 310], 359, test_images=359)) == 359
    own = make_rows([30, 31], 77, test_images=77, dataset="my_images")
    assert find_test_images(own) == 77
    assert find_test_images(make_rows([30], 77, test_images=77)) == 77, "whatever the name says"


def test_some_older_rows_beside_newer_ones_change_nothing() -> None:
    rows = make_rows([300, 310], 359)
    rows.loc[0, "test_images"] = 359
    assert find_test_images(rows) == 359


def test_two_numbers_are_none() -> None:
    assert find_test_images(make_rows([30, 31], 77, test_images=[77, 78])) is None


@pytest.mark.parametrize(("dataset", "images"), TEST_IMAGES.items())
def test_of_older_rows_it_is_that_of_the_standard_data_set(dataset: str, images: int) -> None:
    rows = make_rows([images // 3, images // 2, images], images, dataset=dataset)
    assert find_test_images(rows) == images


def test_of_older_rows_of_an_own_data_set_it_is_unknown() -> None:
    assert find_test_images(make_rows([30, 31], 77, dataset="my_images")) is None


def test_accuracies_that_do_not_fit_show_that_a_data_set_of_that_name_is_another() -> None:
    """A thousandth part of CIFAR-10's test images would fit; 359 of 10,000 do not."""
    assert find_test_images(make_rows([200, 201], 359, dataset="cifar10")) is None
    assert find_test_images(make_rows([200, 201], 359)) == 359


def test_where_no_test_accuracy_was_measured_there_is_no_number() -> None:
    assert find_test_images(make_rows([], 359)) is None
    assert find_test_images(make_rows([1], 359, test_top1=None)) is None


def test_the_table_is_of_data_sets_of_the_project() -> None:
    assert set(TEST_IMAGES) <= set(DATASETS)


def test_digits_have_as_many(tmp_path: Any) -> None:
    assert FoundSource("digits", None).open(tmp_path).test == TEST_IMAGES["digits"]
