"""What each control keeps of the method it controls and what it loses, in trials.

Covers: pruning/methods/reinitialised.py, pruning/methods/small_from_scratch.py.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.masks import all_kept, keep_best, prunable
from pruning.method import PruneInput
from pruning.phases import Measure, PhaseContext, Prune, Reinitialise, Rewind, Train
from pruning.registry import build_method
from pruning.seeds import derive_seed
from pruning.small_initial_weights import draw_small_weights
from pruning.structured.shrink import shrink
from trainables.dense_weights import read_dense_weights
from trainables.trial import Trial

IMAGE = (1, 8, 8)


def fresh(seed: int, stream: str) -> nn.Module:
    """The whole network as drawn from a stream."""
    torch.manual_seed(derive_seed(seed, stream))
    return build_model("resnet8", image=IMAGE, classes=10)


def dense_weights(trial: Trial, epoch: int) -> dict[str, Tensor]:
    return read_dense_weights(trial.runner.store, trial.spec, epoch)


def magnitude_masks(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The masks of half of all weights, the largest of a state dict."""
    names = prunable(fresh(0, "any"))
    return keep_best({name: weights[name].abs() for name in names}, 0.5)


def test_a_trial_knows_its_last_prune(
    walked: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    magnitude = type(build_method("lottery_ticket", {})).prune

    def prune(self: object, inputs: PruneInput) -> object:
        seen.append((inputs.level, inputs.last))
        return magnitude(self, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(build_method("lottery_ticket", {})), "prune", prune)
    trial = walked("shuffled", of="magnitude")
    spec = trial.spec.model_copy(update={"knobs": {"of": "lottery_ticket"}})
    Trial(spec, trial.environment).run()
    assert seen == [(1, False), (2, False), (3, False), (4, True)]


def test_shuffled_trains_the_initial_weights(walked: Callable[..., Trial]) -> None:
    trial = walked("shuffled")
    start, masks = dense_weights(trial, 0), trial.runner.network.masks
    assert all(
        torch.equal(value, start[name]) for name, value in fresh(1, "init").state_dict().items()
    )
    original = magnitude_masks(dense_weights(trial, 1))
    assert [int(mask.sum()) for mask in masks.values()] == [
        int(original[name].sum()) for name in masks
    ]
    assert not all(torch.equal(mask, original[name]) for name, mask in masks.items())
    for name, value in trial.runner.network.model.state_dict().items():
        assert torch.equal(value, start[name] * masks[name] if name in masks else start[name])


def test_reinitialised_keeps_the_mask_and_no_weight(walked: Callable[..., Trial]) -> None:
    trial = walked("reinitialised")
    drawn, start, masks = (
        fresh(1, "reinit").state_dict(),
        dense_weights(trial, 0),
        trial.runner.network.masks,
    )
    original = magnitude_masks(dense_weights(trial, 1))
    assert all(torch.equal(mask, original[name]) for name, mask in masks.items())
    for name, value in trial.runner.network.model.state_dict().items():
        assert torch.equal(value, drawn[name] * masks[name] if name in masks else drawn[name])
    assert not any(torch.equal(drawn[name], start[name]) for name in masks)


def test_small_from_scratch_keeps_the_widths_and_no_weight(walked: Callable[..., Trial]) -> None:
    trial = walked("small_from_scratch", of="l2_filter")
    model = fresh(1, "init")
    model.load_state_dict(dense_weights(trial, 1))
    inputs = PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=0.5,
        generator=torch.Generator(),
        images=lambda count: iter(()),
        image=IMAGE,
    )
    plan = build_method("l2_filter", {}).prune(inputs)
    assert not isinstance(plan, dict)
    (kept,) = trial.runner.network.keep_plans
    assert all(torch.equal(kept[name], index) for name, index in plan.keep.items())  # type: ignore[union-attr]
    small = shrink(fresh(1, "init"), kept, image=IMAGE)
    expected, left = draw_small_weights(lambda: fresh(1, "reinit"), small)
    now = trial.runner.network.model.state_dict()
    assert not left and now.keys() == expected.keys()
    assert all(torch.equal(now[name], value) for name, value in expected.items())
    wide = shrink(fresh(1, "reinit"), kept, image=IMAGE).state_dict()
    assert float(wide["stages.2.0.conv2.weight"].std()) < 0.9 * float(
        now["stages.2.0.conv2.weight"].std()
    )
    trial.run()
    assert trial.records.rows[-1]["sparsity_reached"] == pytest.approx(0.5, abs=0.03)


def test_a_method_that_prunes_initial_weights_is_given_them(
    walked: Callable[..., Trial], add_method: Callable[..., str]
) -> None:
    name = add_method("control_of_initial")
    assert build_method("reinitialised", {"of": name}).phases((0.9,), PhaseContext(10, 4)) == [
        *(Rewind(0), Prune(0.9), Reinitialise(), Train("train", 10), Measure(0.9))
    ]
    trial = walked("reinitialised", of=name)
    original = magnitude_masks(fresh(1, "init").state_dict())
    assert all(
        torch.equal(mask, original[name]) for name, mask in trial.runner.network.masks.items()
    )
