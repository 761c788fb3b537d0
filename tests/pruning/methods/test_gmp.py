"""Gradual magnitude pruning follows its cubic, alone and in a trial."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.model_registry import build_model
from pruning.masks import all_kept, kept_count, prunable
from pruning.methods.gmp import GMP
from pruning.phases import Measure, PhaseContext, Train
from tests.pruning.sparse_training import digits, look, network, record_updates
from trainables.trial import Trial

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)
PERCENT = st.integers(1, 98).map(lambda percent: percent / 100)


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
    steps_due = list(range(0, steps, delta))
    found = {t: method.due(sparsity, t / steps, delta / steps) for t in steps_due}
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
    total = trial.runner.network.dense_prunable
    steps = len(seen)
    first, last = -(-steps // 5), int(0.75 * steps)
    assert steps == trial.runner.loader.batches_per_epoch(200) * 4
    for t, (_, before, after) in enumerate(seen):
        assert (after is None) == (not first <= t <= last)
        if after is not None:
            wanted = 0.9 - 0.9 * (1 - (t - first) / (last - first)) ** 3
            assert sum(int(mask.sum()) for mask in after.values()) == round((1 - wanted) * total)
            assert all(bool((after[n] <= before[n]).all()) for n in after)
    final = seen[last][2]
    assert all(torch.equal(mask, final[n]) for n, mask in trial.runner.network.masks.items())
    assert trial.records.rows[0]["sparsity_reached"] == pytest.approx(
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


def test_gmp_by_layer_never_gives_a_layer_back_what_an_earlier_update_took() -> None:
    """Of a long training: the version before stopped in it, "cannot keep 73 weights: only 72 are
    left"."""
    model, method = build_model("resnet8", image=(3, 6, 6), classes=10), GMP(scope="layer")
    steps = 300
    masks = all_kept(model)
    total = sum(mask.numel() for mask in masks.values())
    for step in range(steps):
        inputs = look(model, masks, sparsity=0.98, progress=step / steps, interval=1 / steps)
        after = method.update(inputs)
        if after is not None:
            due = method.due(0.98, step / steps, 1 / steps)
            assert due is not None
            assert sum(int(mask.sum()) for mask in after.values()) == kept_count(due, total)
            assert not any((after[name] & ~masks[name]).any() for name in masks)
            masks = after
    assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(0.98, total)


def test_where_more_is_pruned_than_is_due_nothing_happens() -> None:
    model = network()
    masks = GMP().update(look(model, all_kept(model), sparsity=0.8, progress=0.75))
    assert masks is not None
    assert GMP().update(look(model, masks, sparsity=0.8, progress=0.1)) is None


def test_layers_with_a_sparsity_of_their_own_rise_with_the_others() -> None:
    model = network()
    inputs = look(model, all_kept(model), sparsity=0.8, progress=0.25)
    masks = GMP().update(replace(inputs, fixed={"0.weight": 0.4}))
    due = GMP().due(0.8, 0.25, 0.05)
    assert masks is not None and due is not None
    assert int(masks["0.weight"].sum()) == kept_count(due / 2, masks["0.weight"].numel())


def test_phases_and_knobs() -> None:
    assert GMP().phases((0.9,), CONTEXT) == [Train("train", 10, updates=True), Measure(0.9)]
    with pytest.raises(ValueError, match="recipe.epochs must be at least 1, but got 0"):
        GMP().phases((0.9,), PhaseContext(train_epochs=0, retrain_epochs=4))
    with pytest.raises(ValidationError, match="end must lie after start = 0.5, but got 0.4"):
        GMP(start=0.5, end=0.4)
