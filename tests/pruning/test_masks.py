"""Selection by score is exact, also where scores tie."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from models.model_registry import build_model
from pruning import masks
from pruning.methods.gmp import GMP


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


def test_spread_refuses_more_than_the_limits_leave() -> None:
    with pytest.raises(ValueError, match="cannot keep 5 weights: only 4 are left"):
        masks.spread({"a": 0.5, "b": 0.5}, {"a": 10, "b": 10}, 5, limits={"a": 2, "b": 2})


def test_far_from_its_densities_every_layer_takes_a_part_by_its_room() -> None:
    sizes = {"a": 1000, "b": 1000, "c": 1000}
    counts = masks.spread(
        dict.fromkeys(sizes, 0.5), sizes, 1520, limits={"a": 0, "b": 800, "c": 1000}
    )
    assert counts == {"a": 0, "b": 695, "c": 825}, "520 / 800 of their room of 300 and 500"


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    schedule=st.lists(st.floats(0, 1), min_size=1, max_size=12).map(sorted),
    seed=st.integers(0, 100),
)
@example(sizes=[9, 9, 3], schedule=[0.25, 0.3, 0.34, 0.4, 0.45, 0.5], seed=0)
def test_a_layer_wise_schedule_is_exact_nested_and_deterministic(
    sizes: list[int], schedule: list[float], seed: int
) -> None:
    """A layer never gets back what an earlier prune took, and keeps its share up to a weight."""
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.rand(size, generator=generator) for i, size in enumerate(sizes)}
    kept = {name: torch.ones(len(score), dtype=torch.bool) for name, score in scores.items()}
    for sparsity in schedule:
        before = kept
        kept = masks.keep_best(scores, sparsity, masks=before, scope="layer")
        again = masks.keep_best(scores, sparsity, masks=before, scope="layer")
        assert sum(int(mask.sum()) for mask in kept.values()) == round((1 - sparsity) * sum(sizes))
        for name, mask in kept.items():
            assert torch.equal(mask, again[name])
            assert not (mask & ~before[name]).any()
            assert abs(int(mask.sum()) - (1 - sparsity) * len(mask)) < 2


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.05])
@pytest.mark.parametrize("name", ["resnet20", "resnet32", "resnet56", "resnet18", "vgg16"])
def test_the_cubic_and_the_ticket_on_the_layers_of_real_networks(name: str, rate: float) -> None:
    """The README's recipe: 160 epochs of 352 steps; each was refused on the way before."""
    with torch.device("meta"):
        model = build_model(name, image=(3, 32, 32), classes=10)
    sizes = {layer: weight.numel() for layer, weight in masks.prunable(model).items()}
    total, steps = sum(sizes.values()), 160 * 352
    gmp = GMP()
    delta = gmp.interval(steps)
    cubic = [gmp.due(0.98, step / steps, delta / steps) for step in range(0, steps, delta)]
    ticket = [1 - (1 - rate) ** level for level in range(1, 41)]
    for schedule in (cubic, ticket):
        left = sizes
        for sparsity in schedule:
            if sparsity is not None:
                kept = masks.kept_count(sparsity, total)
                now = masks.spread(dict.fromkeys(sizes, 1 - sparsity), sizes, kept, limits=left)
                assert sum(now.values()) == kept
                assert all(now[layer] <= left[layer] for layer in sizes)
                assert all(abs(now[n] - (1 - sparsity) * size) < 2 for n, size in sizes.items())
                left = now


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
