"""Keep-plans: what is chosen, what is refused, and plans one after the other."""

import pytest
import torch
from torch import Tensor

from pruning.structured.group_parts import Group
from pruning.structured.keep_plan import choose_channels, group_scores, join_plans
from pruning.structured.shrink import shrink
from tests.pruning.structured.networks_to_cut import (
    NETWORKS,
    lived_in,
)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"conv3": torch.tensor([0])}, "no channel group 'conv3'; there are: conv1, conv2, fc1"),
        ({"conv1": torch.tensor([0.0])}, "int64"),
        ({"conv1": torch.tensor([], dtype=torch.int64)}, "at least 1 of its 32 channels"),
        ({"conv1": torch.tensor([3, 2])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([2, 2])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([2, 32])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([-1, 2])}, "ascend within 0 ... 31"),
    ],
)
def test_plan_that_does_not_fit_is_refused(plan: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shrink(lived_in("simple_cnn"), plan, image=NETWORKS["simple_cnn"])


def test_choose_keeps_the_best_and_breaks_ties_by_index() -> None:
    found = [
        Group("a", 5, ("a",)),
        Group("b", 3, ("b",)),
        Group("c", 2, ("c",)),
    ]
    scores = {"a": torch.tensor([1.0, 3.0, 1.0, 1.0, 2.0]), "b": torch.zeros(3)}
    plan = choose_channels(found, scores, {"a": 3, "b": 2})
    assert {name: index.tolist() for name, index in plan.items()} == {"a": [0, 1, 4], "b": [0, 1]}
    assert plan["a"].dtype == torch.int64
    with pytest.raises(ValueError, match="NaN"):
        choose_channels(found, {"b": torch.full((3,), torch.nan)}, {"b": 2})
    with pytest.raises(ValueError, match=r"scores of 'b' must be \[3\], but are \[4\]"):
        choose_channels(found, {"b": torch.zeros(4)}, {"b": 2})


def test_group_scores_sum_over_producers() -> None:
    found = [Group("a", 2, ("a", "c")), Group("b", 1, ("b",))]
    scores = {
        "a": torch.tensor([1.0, 2.0]),
        "b": torch.tensor([7.0]),
        "c": torch.tensor([10.0, 20.0]),
    }
    assert {name: score.tolist() for name, score in group_scores(found, scores).items()} == {
        "a": [11, 22],
        "b": [7],
    }


def test_cuts_are_joined_by_group() -> None:
    first = {"a": torch.tensor([1, 3, 5]), "b": torch.tensor([0])}
    second = {"a": torch.tensor([0, 2]), "c": torch.tensor([4])}
    joined = join_plans([first, second])
    assert {name: index.tolist() for name, index in joined.items()} == {
        "a": [1, 5],
        "b": [0],
        "c": [4],
    }
    assert join_plans([]) == {}
