"""Selection by score is exact, also where scores tie."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruning import masks


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def test_only_weights_of_convolutions_and_linear_layers_are_prunable() -> None:
    assert list(masks.prunable(network())) == ["0.weight", "3.weight"]


@given(
    scores=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    fraction=st.floats(0, 1),
)
def test_keep_top_keeps_exactly_the_largest_and_the_first_of_equals(
    scores: list[int], fraction: float
) -> None:
    count = round(fraction * len(scores))
    kept = masks.keep_top(torch.tensor(scores, dtype=torch.float32), count)
    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:count]
    assert sorted(torch.nonzero(kept).flatten().tolist()) == sorted(expected)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.77, 0.99, 1.0])
def test_the_number_of_kept_weights_is_exact_even_when_all_scores_tie(
    scope: str, sparsity: float
) -> None:
    scores = {"a": torch.zeros(7, 3), "b": torch.zeros(11), "c": torch.zeros(2, 2, 5)}
    found = masks.keep_best(scores, sparsity, scope=scope)  # type: ignore[arg-type]
    assert sum(int(mask.sum()) for mask in found.values()) == round((1 - sparsity) * 52)
    assert {name: mask.shape for name, mask in found.items()} == {
        name: s.shape for name, s in scores.items()
    }


def test_layer_scope_gives_every_layer_the_same_sparsity_up_to_one_weight() -> None:
    sizes = {"a": 70, "b": 33, "c": 1009}
    drawn = torch.Generator().manual_seed(0)
    scores = {name: torch.rand(size, generator=drawn) for name, size in sizes.items()}
    found = masks.keep_best(scores, 0.9, scope="layer")
    assert all(abs(int(found[name].sum()) - 0.1 * size) <= 1 for name, size in sizes.items())


def test_what_a_mask_removed_stays_removed() -> None:
    before = {"a": torch.tensor([False, True, True, True])}
    found = masks.keep_best({"a": torch.tensor([9.0, 1.0, 2.0, 3.0])}, 0.5, masks=before)
    assert found["a"].tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="only 3 are left"):
        masks.keep_best({"a": torch.tensor([9.0, 1.0, 2.0, 3.0])}, 0.0, masks=before)


def test_a_score_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        masks.keep_top(torch.tensor([1.0, float("nan")]), 1)


@pytest.mark.parametrize("sparsity", [-0.1, 1.2])
def test_sparsity_outside_its_range_is_an_error(sparsity: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        masks.kept_count(sparsity, 10)


@given(
    layers=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1.5)), min_size=1, max_size=8),
    fraction=st.floats(0, 1),
)
def test_spread_sums_exactly_and_overfills_no_layer(
    layers: list[tuple[int, float]], fraction: float
) -> None:
    sizes = {str(i): size for i, (size, _) in enumerate(layers)}
    total = round(fraction * sum(sizes.values()))
    counts = masks.spread({str(i): density for i, (_, density) in enumerate(layers)}, sizes, total)
    assert sum(counts.values()) == total
    assert all(0 <= counts[name] <= size for name, size in sizes.items())


def test_what_is_missing_goes_to_the_largest_fractions_the_first_on_a_tie() -> None:
    sizes = dict.fromkeys("abcd", 10)
    assert masks.spread({"a": 0.17, "b": 0.15, "c": 0.18, "d": 0.0}, sizes, 5) == {
        "a": 2,
        "b": 1,
        "c": 2,
        "d": 0,
    }
    assert masks.spread(dict.fromkeys("abcd", 0.25), sizes, 10) == {"a": 3, "b": 3, "c": 2, "d": 2}


def test_spread_refuses_more_than_there_is() -> None:
    with pytest.raises(ValueError, match="cannot keep 5 of 4"):
        masks.spread({"a": 1.0}, {"a": 4}, 5)


def test_apply_zeroes_and_sparsity_counts() -> None:
    model = network()
    kept = masks.keep_best({n: w.abs() for n, w in masks.prunable(model).items()}, 0.75)
    masks.apply_masks(model, kept)
    assert masks.sparsity_of(kept) == pytest.approx(0.75, abs=1 / 116)
    assert sum(int((w == 0).sum()) for w in masks.prunable(model).values()) == 116 - round(
        0.25 * 116
    )
    assert bool(model[0].bias.any())  # type: ignore[union-attr]
    assert masks.sparsity_of({}) == 0.0


def test_what_is_drawn_was_there_before() -> None:
    before = {"a": torch.tensor([[True, False, True], [False, True, True]])}
    for seed in range(20):
        drawn = masks.draw_masks({"a": 3}, before, torch.Generator().manual_seed(seed))["a"]
        assert drawn.shape == (2, 3) and int(drawn.sum()) == 3 and not drawn[~before["a"]].any()
    with pytest.raises(ValueError, match="cannot keep 5 weights: only 4 are left"):
        masks.draw_masks({"a": 5}, before, torch.Generator())


def test_erk_of_all_weights_is_dense_although_rounding_fills_every_layer() -> None:
    shapes = {
        "a": (1, 2, 3, 3),
        "b": (9, 5),
        "c": (8, 8, 3, 3),
    }  # here the last density is 1 + 2e-16
    assert masks.erk_densities(shapes, 18 + 45 + 576) == dict.fromkeys(shapes, 1.0)
