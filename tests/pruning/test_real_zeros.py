"""Zeros counted in the tensors in use, against masks and promises."""

import pytest
import torch
from torch import nn

from pruning.masks import all_kept, apply_masks, keep_best, prunable
from pruning.methods.han_iterative import HanIterative
from pruning.methods.l1_filter import L1Filter
from pruning.methods.magnitude import Magnitude
from pruning.methods.wanda import Wanda
from pruning.real_zeros import WrongZerosError, check_promise, count_zeros
from pruning.weight_uses import ForwardUses, trace_weights
from tests.networks.weights import plain, standardised

IMAGE = (1, 8, 8)


def pruned(sparsity: float) -> tuple[nn.Module, dict[str, torch.Tensor], ForwardUses]:
    torch.manual_seed(0)
    network = plain(IMAGE, 10)
    weights = prunable(network)
    masks = keep_best({name: weight.abs() for name, weight in weights.items()}, sparsity)
    apply_masks(network, masks)
    return network, masks, trace_weights(network, weights, IMAGE)


def test_zeros_are_counted_in_the_weights() -> None:
    network, masks, uses = pruned(0.9)
    zeros = count_zeros(network, masks, uses)
    total = sum(mask.numel() for mask in masks.values())
    assert (zeros.weights, zeros.zeros) == (total, round(0.9 * total)) and zeros.kept == {}
    assert zeros.notes == []


def test_a_masked_weight_that_is_not_zero_fails_with_the_layer_and_the_numbers() -> None:
    network, masks, uses = pruned(0.9)
    with torch.no_grad():
        network[2].weight[~masks["2.weight"]] = 1.0
    count = int((~masks["2.weight"]).sum())
    line = rf"^layer '2\.weight': {count} of its {count} masked weights are not zero$"
    with pytest.raises(WrongZerosError, match=line):
        count_zeros(network, masks, uses)


def test_a_mask_on_a_tensor_that_is_not_used_fails_with_the_layer() -> None:
    torch.manual_seed(0)
    network = standardised(IMAGE, 10)
    masks = {name: torch.zeros_like(mask) for name, mask in all_kept(network).items()}
    apply_masks(network, masks)
    with pytest.raises(WrongZerosError, match=r"'2\.weight': its mask removes 576 of 576 weights"):
        count_zeros(network, masks, trace_weights(network, prunable(network), IMAGE))


def test_zeros_among_kept_weights_are_a_note_not_a_failure() -> None:
    network, masks, uses = pruned(0.5)
    with torch.no_grad():
        network[2].weight.zero_()
    zeros = count_zeros(network, masks, uses)
    extra = int(masks["2.weight"].sum())
    assert zeros.kept == {"2.weight": extra}
    (note,) = zeros.notes
    assert note.startswith(f"{extra} of the kept weights are zero, too, most in 2.weight")
    assert f"{zeros.zeros / zeros.weights:.4f} of the prunable weights are zero in all" in note


def test_a_sparsity_that_is_missed_by_one_weight_fails_with_the_numbers() -> None:
    _, masks, _ = pruned(0.9)
    check_promise(Magnitude(), masks, 0.9, {})
    kept = masks["6.weight"].nonzero()[0]
    masks["6.weight"][tuple(kept)] = False
    total = sum(mask.numel() for mask in masks.values())
    promised = round(0.1 * total)
    line = rf"{promised} of {total} weights must be kept, but {promised - 1} are"
    with pytest.raises(WrongZerosError, match=line):
        check_promise(Magnitude(), masks, 0.9, {})
    # No promise to the weight: where the method's own rule decides, nothing is requested, or whole
    # channels go.
    check_promise(HanIterative(), masks, 0.9, {})
    check_promise(L1Filter(), masks, 0.9, {})
    check_promise(Magnitude(), masks, None, {})


def test_sparsities_of_layers_are_promises_of_their_own() -> None:
    network = plain(IMAGE, 10)
    scores = {name: weight.abs() for name, weight in prunable(network).items()}
    masks = keep_best(scores, 0.9, fixed={"6.weight": 0.25})
    check_promise(Magnitude(), masks, 0.9, {"6.weight": 0.25})
    assert int(masks["6.weight"].sum()) == 60
    with pytest.raises(WrongZerosError, match=r"^layer '6\.weight': at sparsity 0\.5 40 of 80"):
        check_promise(Magnitude(), masks, 0.9, {"6.weight": 0.5})


def test_a_pattern_that_is_broken_in_one_run_fails_with_the_layer() -> None:
    network = plain(IMAGE, 10)
    masks = all_kept(network)
    for name in ("2.weight", "6.weight"):
        masks[name][:, 0::4] = masks[name][:, 1::4] = False
    check_promise(Wanda(pattern="2:4"), masks, 0.5, {})
    masks["2.weight"][0, 0, 0, 0] = True
    with pytest.raises(WrongZerosError, match=r"'2\.weight': 1 of 144 runs of 4 .* do not keep 2"):
        check_promise(Wanda(pattern="2:4"), masks, 0.5, {})
