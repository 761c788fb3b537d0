"""`pruning.prune` in a script: what it leaves as it was, what it refuses, and what it says.

That it prunes as trials do is tested in tests/contract/test_prune_equals_trial.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as of_torch

import pruning
from pruning.masks import prunable
from tests.pruning.own_code.largest import Largest
from tests.pruning.own_code.small_cnn import IMAGE, batches, seeded_cnn


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


@pytest.mark.parametrize("method", ["magnitude", "synflow", "snip", "wanda", "l1_filter", "hrank"])
def test_model_modes_and_random_numbers_are_left_as_they_were(method: str) -> None:
    model = seeded_cnn()
    before, own_modes = state_of(model), modes(model)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    knobs = {"hrank": {"layer_by_layer": False}}.get(method, {})
    loader = torch.utils.data.DataLoader(batches(), batch_size=None, shuffle=True)
    pruned = pruning.prune(model, method, 0.5, batches=loader, **knobs)
    assert torch.equal(torch.rand(3), expected)
    assert modes(model) == own_modes
    assert modes(pruned.model) == own_modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert pruned.sparsity == pytest.approx(0.5, abs=0.05)
    assert all(parameter.requires_grad for parameter in pruned.model.parameters())


def test_it_works_under_no_grad_and_on_a_model_in_double_precision() -> None:
    with torch.no_grad():
        pruned = pruning.prune(seeded_cnn().double(), "snip", 0.5, batches=batches())
    assert pruned.sparsity == pytest.approx(0.5, abs=1e-3)


def test_equal_seeds_draw_equally_whatever_the_script_drew_before() -> None:
    model = seeded_cnn()

    def masks(seed: int) -> Tensor:
        loader = torch.utils.data.DataLoader(batches(), batch_size=None, shuffle=True)
        pruned = pruning.prune(model, "snip", 0.5, batches=loader, seed=seed, examples_per_class=1)
        return torch.cat([mask.flatten() for mask in pruned.masks.values()])

    torch.manual_seed(1)
    first = masks(0)
    torch.manual_seed(2)
    assert torch.equal(first, masks(0))
    assert not torch.equal(first, masks(1))


def test_in_place_the_model_itself_is_pruned() -> None:
    model = seeded_cnn()
    pruned = pruning.prune(model, "magnitude", 0.5, image=IMAGE, inplace=True)
    assert pruned.model is model
    weights = prunable(model)
    assert all(not weights[name][~mask].any() for name, mask in pruned.masks.items())


def test_magnitude_keeps_the_weights_that_torchs_own_global_l1_keeps() -> None:
    model = seeded_cnn()
    pruned = pruning.prune(model, "magnitude", 0.9, image=IMAGE)
    layers = [(model.get_submodule(name.rpartition(".")[0]), "weight") for name in pruned.masks]
    of_torch.global_unstructured(layers, pruning_method=of_torch.L1Unstructured, amount=0.9)
    for (layer, _), mask in zip(layers, pruned.masks.values(), strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)  # type: ignore[operator, union-attr]


def test_layers_are_left_alone_or_have_a_sparsity_of_their_own() -> None:
    pruned = pruning.prune(
        seeded_cnn(), "magnitude", 0.8, image=IMAGE, exclude=["first"],
        layer_sparsity={"last": 0.25},
    )  # fmt: skip
    assert list(pruned.masks) == ["3.weight", "8.weight"]
    assert float(pruned.masks["8.weight"].float().mean()) == 0.75
    assert float(pruned.masks["3.weight"].float().mean()) == pytest.approx(0.2, abs=1e-3)
    assert any("excluded" in note for note in pruned.notes)


def test_a_method_is_a_name_a_file_a_class_or_an_object(tmp_path: Path) -> None:
    file = tmp_path / "of_mine.py"
    file.write_text(
        "from pruning.method import Card, Method\n\n\n"
        "class Mine(Method):\n"
        "    card = Card(title='t', paper='p', summary='s', kind='unstructured', cost='c', "
        "when='w')\n\n"
        "    def scores(self, inputs):\n"
        "        return {name: weight.abs() for name, weight in inputs.weights.items()}\n"
    )
    model = seeded_cnn()
    found = [
        pruning.prune(model, method, 0.5, image=IMAGE)
        for method in ("magnitude", str(file), Largest, Largest())
    ]
    assert [pruned.method for pruned in found] == ["magnitude", "of_mine", "Largest", "Largest"]
    for pruned in found[1:]:
        for name, mask in pruned.masks.items():
            assert torch.equal(mask, found[0].masks[name])


def test_rounds_call_train_and_its_result_decides_on_the_next_prune() -> None:
    seen: list[tuple[str, int, float]] = []

    def train(pruned: pruning.Pruned) -> None:
        assert pruned.training is not None
        seen.append((pruned.training.recipe, pruned.training.end, round(pruned.sparsity, 3)))
        with torch.no_grad():  # turn the order of the weights over
            for name, weight in prunable(pruned.model).items():
                weight.copy_(torch.where(pruned.masks[name], 1 / weight, 0))

    model = seeded_cnn()
    start = state_of(model)
    pruned = pruning.prune(
        model, "lottery_ticket", image=IMAGE, train=train, rewind=start, train_epochs=9, levels=2
    )
    assert seen == [("train", 9, 0.2), ("train", 9, 0.36)]
    assert pruned.sparsity == pytest.approx(0.36, abs=1e-3) and pruned.training is None
    alone = pruning.prune(model, "magnitude", 0.36, image=IMAGE)
    assert any(not torch.equal(mask, alone.masks[name]) for name, mask in pruned.masks.items())


def test_without_train_a_ticket_has_its_early_weights() -> None:
    model = seeded_cnn()
    early = state_of(seeded_cnn(1))
    pruned = pruning.prune(
        model, "magnitude", 0.5, image=IMAGE, retrain="weight_rewind", rewind=lambda epoch: early
    )
    for name, weight in prunable(pruned.model).items():
        assert torch.equal(weight, early[name] * pruned.masks[name])


def test_a_train_that_does_not_hold_the_masks_is_refused() -> None:
    def train(pruned: pruning.Pruned) -> None:
        with torch.no_grad():
            pruned.model[0].weight.fill_(1)  # type: ignore[index]

    with pytest.raises(pruning.UserError, match=r"masked weights .* call pruned.hold"):
        pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE, train=train)


def test_a_train_without_the_schedule_is_refused() -> None:
    with pytest.raises(pruning.UserError, match=r"train must take pruned.schedule"):
        pruning.prune(seeded_cnn(), "gmp", 0.5, image=IMAGE, train=lambda pruned: None)


def test_batch_norm_is_estimated_anew_from_the_batches() -> None:
    data = batches()
    pruned = pruning.prune(seeded_cnn(), "magnitude_post", 0.5, batches=data)
    x = torch.cat([x for x, _ in data])
    mean = pruned.model[0](x).mean((0, 2, 3))  # type: ignore[index]
    torch.testing.assert_close(pruned.model[1].running_mean, mean.detach(), atol=1e-5, rtol=0)  # type: ignore[index]


def test_one_layer_to_leave_alone_needs_no_list() -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE, exclude="first")
    assert "not pruned (excluded): 0.weight" in pruned.notes


def test_layers_without_any_weight_left_are_named() -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.9999, image=IMAGE)
    empty = [name for name, mask in pruned.masks.items() if not mask.any()]
    assert empty and f"no weight is left in {', '.join(empty)}" in pruned.notes
