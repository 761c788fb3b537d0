"""How many test images the accuracies of a study rest on."""

import pandas as pd

# Of the standard data sets, for rows that were written before there was the column `test_images`.
TEST_IMAGES = {
    "digits": 359,
    "cifar10": 10_000,
    "cifar100": 10_000,
    "mnist": 10_000,
    "fashion_mnist": 10_000,
}


def find_test_images(rows: pd.DataFrame) -> int | None:
    """How many images the test accuracies of some rows were measured on, which are those of one
    setting; None where it is unknown, or where none was measured.

    Rows name it since schema version 2. Of older ones the number is that of the standard data set
    of that name, unless an accuracy shows that it was another one, such as a part of it in a
    folder of the user's: it is no whole number of that many images. Unknown, too, where the rows
    name several numbers.
    """
    accuracies = rows["test_top1"].dropna()
    if accuracies.empty:
        return None
    counted = rows["test_images"].dropna().unique()
    if len(counted):
        return int(counted[0]) if len(counted) == 1 else None
    names = rows["dataset"].unique()
    images = TEST_IMAGES.get(str(names[0])) if len(names) == 1 else None
    if images is None:
        return None
    right = accuracies * images / 100
    return images if ((right - right.round()).abs() < 1e-6).all() else None
