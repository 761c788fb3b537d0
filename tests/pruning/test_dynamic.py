"""Masks that change while the network trains: gradual magnitude, RigL and SET, alone and inside a
trial."""

from collections.abc import Callable, Iterator
from math import cos, pi
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from pruning.dynamic import DynamicSparse
from pruning.masks import all_kept, apply, erk_densities, kept_count, prunable
from pruning.method import PruneInput
from pruning.methods.gmp import GMP
from pruning.methods.rigl import RigL
from pruning.methods.set import SparseEvolution
from pruning.phases import Measure, Prune, Setting, Train
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SETTING = Setting(train_epochs=10, retrain_epochs=4)
KINDS = [RigL, SparseEvolution]
PERCENT = st.integers(1, 98).map(lambda percent: percent / 100)


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A trial sets flush-to-zero for its process; hypothesis in later tests cannot draw floats
    under it."""
    yield
    torch.set_flush_denormal(False)


def no_images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("these methods need no images of their own")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.Flatten(), nn.Linear(48, 10)
    )


def look(
    model: nn.Module,
    masks: Any,
    *,
    sparsity: float = 0.8,
    progress: float = 0.0,
    interval: float = 0.05,
    seed: int = 0,
) -> PruneInput:
    return PruneInput(
        model=model,
        masks=masks,
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(seed),
        images=no_images,
        image=(3, 6, 6),
        progress=progress,
        interval=interval,
    )


def sparse(method: DynamicSparse, sparsity: float = 0.8) -> tuple[nn.Sequential, Any]:
    """A network with the method's sparse start held and dense gradients of one batch."""
    model = network()
    masks = method.prune(look(model, all_kept(model), sparsity=sparsity))
    apply(model, masks)
    x = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(model(x), torch.arange(16) % 10).backward()
    return model, masks


def digits(method: str, knobs: dict[str, Any], *, sparsity: float = 0.8) -> TrialSpec:
    recipe = Recipe(epochs=4, batch=200, lr=0.05, precision="fp32", augment="none")
    study = {"dataset": "digits", "model": "mlp", "seed": 5, "recipe": recipe}
    return TrialSpec.model_validate(
        {**study, "method": method, "knobs": knobs, "sparsities": (sparsity,)}
    )


def record_updates(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[PruneInput, Any, Any]]:
    """What goes into and comes out of every update of a trial: input, masks before, masks after."""
    seen: list[tuple[PruneInput, Any, Any]] = []
    plain = type(trial.course.method).update

    def update(self: Any, at: PruneInput) -> Any:
        before = {name: mask.clone() for name, mask in at.masks.items()}
        after = plain(self, at)
        seen.append((at, before, after))
        return after

    monkeypatch.setattr(type(trial.course.method), "update", update)
    return seen


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
def test_dense_training_course(kind: type[DynamicSparse]) -> None:
    assert kind().phases((0.9,), SETTING) == [
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
    hold = trial.course.network.hold

    def hold_and_look(masks: Any) -> None:
        before = {n: mask.clone() for n, mask in trial.course.network.masks.items()}
        weights = {n: w.detach().clone() for n, w in prunable(trial.course.network.model).items()}
        hold(masks)
        for n, weight in prunable(trial.course.network.model).items():
            fresh = trial.course.network.masks[n] & ~before[n]
            assert not weight[fresh].any()
            stays = trial.course.network.masks[n] & before[n]
            assert torch.equal(weight[stays], weights[n][stays])
            if trial.course.network.optimizer and trial.course.network.optimizer.state.get(weight):
                momentum = trial.course.network.optimizer.state[weight]["momentum_buffer"]
                assert not momentum[fresh].any()
                held.append(int(fresh.sum()))

    monkeypatch.setattr(trial.course.network, "hold", hold_and_look)
    trial.run()
    steps = trial.course.images.batches_per_epoch(200) * 4
    assert [at.progress for at, _, _ in seen] == pytest.approx(
        [index / steps for index in range(steps)]
    )
    changes = [after for _, _, after in seen if after is not None]
    assert len(changes) == sum(at.progress < 0.75 for at, _, _ in seen)
    counts = [{n: int(mask.sum()) for n, mask in masks.items()} for masks in changes]
    assert all(count == counts[0] for count in counts)
    assert sum(counts[0].values()) == kept_count(0.8, trial.course.network.dense_prunable)
    assert sum(held) > 100
    grown = [
        sum(int((after[n] & ~before[n]).sum()) for n in after)
        for _, before, after in seen
        if after is not None
    ]
    assert grown[0] > grown[len(grown) // 2] > grown[-1]


@given(
    sparsity=PERCENT,
    start=PERCENT,
    span=PERCENT,
    steps=st.integers(1, 3000),
    every=st.integers(1, 200),
)
@example(sparsity=0.9, start=0.0, span=0.75, steps=1, every=100)
@example(sparsity=0.9, start=0.0, span=0.99, steps=8, every=100)
@example(sparsity=0.9, start=0.97, span=0.02, steps=8, every=100)
def test_gmp_follows_the_cubic_at_every_update(
    sparsity: float, start: float, span: float, steps: int, every: int
) -> None:
    method = GMP(start=start, end=min(0.99, start + span), every=every)
    delta = method.interval(steps)
    assert 1 <= delta <= every and (delta == every or steps // delta >= 20 or delta == 1)
    at = list(range(0, steps, delta))
    found = {t: method.due(sparsity, t / steps, delta / steps) for t in at}
    pruned = {t: s for t, s in found.items() if s is not None}
    first, last = min(pruned), max(pruned)
    assert list(pruned) == list(range(first, last + 1, delta))
    assert last / steps <= method.end + 1e-9
    assert first / steps >= method.start - 1e-9 or first == last
    assert (last + delta) / steps > method.end - 1e-9 and (first - delta) / steps < method.start
    for t, value in pruned.items():
        n = (last - first) // delta
        expected = (
            sparsity + (0 - sparsity) * (1 - (t - first) / (n * delta)) ** 3 if n else sparsity
        )
        assert value == pytest.approx(expected, abs=1e-12)
    assert pruned[last] == sparsity


def test_gmp_in_a_trial_keeps_exactly_the_largest_weights_at_every_update(
    open_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = open_trial(digits("gmp", {"start": 0.2}, sparsity=0.9))
    seen = record_updates(trial, monkeypatch)
    trial.run()
    total = trial.course.network.dense_prunable
    steps = len(seen)
    first, last = -(-steps // 5), int(0.75 * steps)
    assert steps == trial.course.images.batches_per_epoch(200) * 4
    for t, (_, before, after) in enumerate(seen):
        assert (after is None) == (not first <= t <= last)
        if after is not None:
            wanted = 0.9 - 0.9 * (1 - (t - first) / (last - first)) ** 3
            assert sum(int(mask.sum()) for mask in after.values()) == round((1 - wanted) * total)
            assert all(bool((after[n] <= before[n]).all()) for n in after)
    final = seen[last][2]
    assert all(torch.equal(mask, final[n]) for n, mask in trial.course.network.masks.items())
    assert trial.course.rows[0]["sparsity_reached"] == pytest.approx(
        1 - kept_count(0.9, total) / total, abs=1e-12
    )


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_gmp_removes_the_smallest_weights(scope: Any) -> None:
    model = network()
    masks = GMP(scope=scope).update(look(model, all_kept(model), sparsity=0.8, progress=0.75))
    assert masks is not None
    for names in [list(masks)] if scope == "global" else [[name] for name in masks]:
        weights = torch.cat([prunable(model)[name].detach().abs().flatten() for name in names])
        kept = torch.cat([masks[name].flatten() for name in names])
        assert weights[kept].min() > weights[~kept].max()


def test_gmp_course_and_knobs() -> None:
    assert GMP().phases((0.9,), SETTING) == [Train("train", 10, updates=True), Measure(0.9)]
    with pytest.raises(ValueError, match="recipe.epochs must be at least 1, but got 0"):
        GMP().phases((0.9,), Setting(train_epochs=0, retrain_epochs=4))
    with pytest.raises(ValidationError, match="end must lie after start = 0.5, but got 0.4"):
        GMP(start=0.5, end=0.4)


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 1), (39, 1), (240, 12), (2000, 100), (56320, 100)]
)
def test_updates_come_every_hundred_steps_but_at_least_twenty_times(steps: int, every: int) -> None:
    assert GMP().interval(steps) == RigL().interval(steps) == every
    assert RigL(every=7).interval(steps) == min(every, 7)
