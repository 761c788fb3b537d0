"""The log-odds scale of accuracies."""

import numpy as np
import pytest

from analysis.statistics.accuracy_scale import ValueScale


@pytest.mark.parametrize("images", [10, 359, 10_000])
def test_log_odds_are_those_of_counts_with_a_half(images: int) -> None:
    right = np.arange(images + 1)
    scale = ValueScale(images)
    place = scale.place_values(100 * right / images)
    assert place == pytest.approx(np.log((right + 0.5) / (images - right + 0.5)))
    assert scale.read_values(place) == pytest.approx(100 * right / images, abs=1e-9)
    step = 1e-5
    slope = (scale.read_values(place + step) - scale.read_values(place - step)) / (2 * step)
    assert scale.find_slopes(place)[1:-1] == pytest.approx(slope[1:-1], rel=1e-5)


def test_shares_stay_within_their_range() -> None:
    assert ValueScale(359).read_values(np.array([-50.0, 50.0])).tolist() == [0.0, 100.0]
