"""Masks that change while the network trains, alone and inside a trial.

Covers: pruning/dynamic.py, pruning/methods/rigl.py, pruning/methods/set.py.
"""

from collections.abc import Callable, Iterator
from math import cos, pi
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pruning.dynamic import DynamicSparse
from pruning.masks import all_kept, apply_masks, erk_densities, kept_count, prunable
from pruning.methods.rigl import RigL
from pruning.methods.set import SparseEvolution
from pruning.phases import Measure, PhaseContext, Prune, Train
from tests.pruning.sparse_training import digits, look, network, record_updates
from trainables.trial import Trial

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)
KINDS = [RigL, SparseEvolution]


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A trial sets flush-to-zero for its process; hypothesis in later tests cannot draw floats
    under it."""
    yield
    torch.set_flush_denormal(False)


def sparse(method: DynamicSparse, sparsity: float = 0.8) -> tuple[nn.Sequential, Any]:
    """A network with the method's sparse start held and dense gradients of one batch."""
    model = network()
    masks = method.prune(look(model, all_kept(model), sparsity=sparsity))
    apply_masks(model, masks)
    x = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(model(x), torch.arange(16) % 10).backward()
    return model, masks


def test_erk_densities_follow_the_rule_and_sum_to_the_total() -> None:
    shapes = {
        "stem": (8, 3, 3, 3),
        "wide": (64, 32, 3, 3),
        "fc": (10, 256),
        "point": (16, 16, 1, 1),
    }
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    total = kept_count(0.85, sum(sizes.values()))
    found = erk_densities(shapes, total)
    assert sum(found[name] * sizes[name] for name in shapes) == pytest.approx(total)
    assert found["point"] == 1.0  # (16 + 16 + 1 + 1) / 256 is the largest of the four
    factors = {
        name: found[name] / (sum(shapes[name]) / sizes[name]) for name in ("stem", "wide", "fc")
    }
    assert all(factor == pytest.approx(factors["wide"]) for factor in factors.values())
    assert max(found.values()) <= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_sparse_by_erk_exact_and_drawn_from_the_generator(
    kind: type[DynamicSparse],
) -> None:
    model = network()
    start = kind().prune(look(model, all_kept(model)))
    total = sum(mask.numel() for mask in start.values())
    assert sum(int(mask.sum()) for mask in start.values()) == kept_count(0.8, total)
    densities = erk_densities(
        {name: tuple(mask.shape) for name, mask in start.items()}, kept_count(0.8, total)
    )
    assert all(
        abs(int(mask.sum()) - densities[name] * mask.numel()) < 1 for name, mask in start.items()
    )
    assert all(
        torch.equal(m, start[n]) for n, m in kind().prune(look(model, all_kept(model))).items()
    )
    assert any(
        not torch.equal(m, start[n])
        for n, m in kind().prune(look(model, all_kept(model), seed=1)).items()
    )


def reference_update(mask: Tensor, weight: Tensor, worth: Tensor, moved: int) -> Tensor:
    """Drop the smallest kept weights, then grow the worthiest of all that are not kept, by plain
    sorting."""
    kept = [int(i) for i in torch.nonzero(mask.flatten()).flatten()]
    kept.sort(key=lambda i: -abs(float(weight.detach().flatten()[i])))
    stays = kept[: len(kept) - moved]
    others = sorted(set(range(mask.numel())) - set(stays), key=lambda i: -float(worth.flatten()[i]))
    result = torch.zeros(mask.numel(), dtype=torch.bool)
    result[stays + others[:moved]] = True
    return result.view_as(mask)


@pytest.mark.parametrize("progress", [0.0, 0.2, 0.6])
def test_rigl_drops_the_smallest_weights_and_grows_the_largest_gradients(progress: float) -> None:
    method = RigL()
    model, masks = sparse(method)
    after = method.update(look(model, masks, progress=progress))
    assert after is not None
    changed = 0
    for name, weight in prunable(model).items():
        assert weight.grad is not None and bool(weight.grad[~masks[name]].any()), (
            "gradients are dense"
        )
        moved = int(method.fraction(progress) * int(masks[name].sum()))
        assert torch.equal(
            after[name], reference_update(masks[name], weight, weight.grad.abs(), moved)
        )
        changed += int((after[name] & ~masks[name]).sum())
    assert changed > 0


def test_set_grows_from_the_generator_and_uniformly() -> None:
    method = SparseEvolution(drop=0.5)
    model, masks = sparse(method)
    model.zero_grad(set_to_none=True)  # it never looks at gradients
    first, same, other = (method.update(look(model, masks, seed=seed)) for seed in (0, 0, 1))
    assert first is not None and same is not None and other is not None
    assert all(torch.equal(first[name], same[name]) for name in masks)
    assert any(not torch.equal(first[name], other[name]) for name in masks)
    counts = torch.zeros_like(masks["4.weight"], dtype=torch.float64)
    for seed in range(400):
        counts += (method.update(look(model, masks, seed=seed)) or {})["4.weight"]
    stays = counts == 400
    moved = int(0.5 * int(masks["4.weight"].sum()))
    assert int(stays.sum()) == int(masks["4.weight"].sum()) - moved
    chance = moved / int((~stays).sum())
    spread = (chance * (1 - chance) / 400) ** 0.5
    assert float((counts[~stays] / 400 - chance).abs().max()) < 5 * spread


@pytest.mark.parametrize("kind", KINDS)
def test_the_moved_fraction_falls_as_a_cosine_and_ends(kind: type[DynamicSparse]) -> None:
    method = kind(drop=0.4, until=0.8)
    assert method.fraction(0.0) == pytest.approx(0.4)
    assert method.fraction(0.4) == pytest.approx(0.2)
    assert method.fraction(0.2) == pytest.approx(0.2 * (1 + cos(pi / 4)))
    assert method.fraction(0.8) == method.fraction(0.9) == 0.0
    model, masks = sparse(method)
    assert method.update(look(model, masks, progress=0.8)) is None


def test_rigl_leaves_the_masks_where_a_gradient_is_not_finite() -> None:
    model, masks = sparse(RigL())
    gradient = model[2].weight.grad
    assert isinstance(gradient, Tensor)
    gradient[0, 0, 0, 0] = torch.inf
    assert RigL().update(look(model, masks)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_phases_and_knobs(kind: type[DynamicSparse]) -> None:
    assert kind().phases((0.9,), CONTEXT) == [
        Prune(0.9),
        Train("train", 10, updates=True),
        Measure(0.9),
    ]
    with pytest.raises(ValidationError):
        kind(drop=0.0)


@pytest.mark.parametrize("name", ["rigl", "set"])
def test_in_a_trial_counts_of_layers_stay_and_grown_weights_start_at_zero(
    name: str, open_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = open_trial(digits(name, {}))
    seen = record_updates(trial, monkeypatch)
    held: list[int] = []
    set_masks = trial.runner.network.set_masks

    def set_and_check(masks: Any) -> None:
        before = {n: mask.clone() for n, mask in trial.runner.network.masks.items()}
        weights = {n: w.detach().clone() for n, w in prunable(trial.runner.network.model).items()}
        set_masks(masks)
        for n, weight in prunable(trial.runner.network.model).items():
            fresh = trial.runner.network.masks[n] & ~before[n]
            assert not weight[fresh].any()
            stays = trial.runner.network.masks[n] & before[n]
            assert torch.equal(weight[stays], weights[n][stays])
            if trial.runner.network.optimizer and trial.runner.network.optimizer.state.get(weight):
                momentum = trial.runner.network.optimizer.state[weight]["momentum_buffer"]
                assert not momentum[fresh].any()
                held.append(int(fresh.sum()))

    monkeypatch.setattr(trial.runner.network, "set_masks", set_and_check)
    trial.run()
    steps = trial.runner.loader.batches_per_epoch(200) * 4
    assert [inputs.progress for inputs, _, _ in seen] == pytest.approx(
        [index / steps for index in range(steps)]
    )
    changes = [after for _, _, after in seen if after is not None]
    assert len(changes) == sum(inputs.progress < 0.75 for inputs, _, _ in seen)
    counts = [{n: int(mask.sum()) for n, mask in masks.items()} for masks in changes]
    assert all(count == counts[0] for count in counts)
    assert sum(counts[0].values()) == kept_count(0.8, trial.runner.network.dense_prunable)
    assert sum(held) > 100
    grown = [
        sum(int((after[n] & ~before[n]).sum()) for n in after)
        for _, before, after in seen
        if after is not None
    ]
    assert grown[0] > grown[len(grown) // 2] > grown[-1]
