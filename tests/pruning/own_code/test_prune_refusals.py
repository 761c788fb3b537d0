"""What `pruning.prune` refuses, each in one line.

Covers: pruning/own_code/prune_call.py.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as of_torch

import pruning
from tests.pruning.own_code.largest import Largest
from tests.pruning.own_code.small_cnn import IMAGE, batches, cnn, seeded_cnn

MODEL = cnn()
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("must be a torch.nn.Module, but is dict", {"model": {}}),
    ("wrapped in DataParallel: prune model.module", {"model": nn.DataParallel(MODEL)}),
    ("no method 'magnitud'; did you mean 'magnitude'?", {"method": "magnitud"}),
    ("must be a name, a file or a Method, but got int", {"method": 3}),
    ("has no knob 'skope'; did you mean 'scope'?", {"skope": "layer"}),
    ("scope: must be 'global' or 'layer', but got 'all'", {"scope": "all"}),
    ("leave out scope, or give the class", {"method": Largest(), "scope": "layer"}),
    ("sparsity must be in [0, 1), but got 90", {"sparsity": 90}),
    ("'magnitude' needs a sparsity, e.g. sparsity=0.9", {"sparsity": None}),
    ("finds the sparsity by its own rule: leave out sparsity=0.5", {"method": "han_iterative"}),
    ("ends at sparsity 0.892626, not at 0.5", {"method": "lottery_ticket"}),
    ("give image=(channels, height, width) or batches", {"image": None}),
    ("'snip' needs images: give batches=", {"method": "snip"}),
    ("'magnitude_post' needs images: give batches=", {"method": "magnitude_post"}),
    (
        "'lottery_ticket' trains between its prunes: give train=",
        {"method": "lottery_ticket", "sparsity": None},
    ),
    (
        "goes back to the weights before epoch 0: give rewind=",
        {"retrain": "weight_rewind"},
    ),
    ("draws weights anew: give build=", {"method": "reinitialised"}),
    ("'l1_filter' makes a smaller network", {"method": "l1_filter", "inplace": True}),
    ("no prunable layer matches 'conv1'", {"exclude": ["conv1"]}),
    (
        "'wanda' cannot prune this network: pattern 5:9 fits no layer",
        {"method": "wanda", "pattern": "5:9", "sparsity": None, "batches": batches()},
    ),
    ("rewind_to must be in [0, 1]", {"retrain": "lr_rewind", "rewind_to": 2}),
    ("sparsity must be in [0, 1), but got '0.5'", {"sparsity": "0.5"}),
    ("image must be (channels, height, width) in whole numbers, but is (4,)", {"image": (4,)}),
    ("alone, but fails on one of 1x16x16: Given groups=1", {"image": (1, 16, 16)}),
    ("alone, but fails on one of 3x8x8: ", {"model": nn.Bilinear(3, 3, 2)}),
    ("'1.weight' has no size", {"model": nn.Sequential(nn.Flatten(), nn.LazyLinear(4))}),
    (
        "needs logits [B, classes], but the model returns a tensor [1, 3, 8, 8]",
        {"model": nn.Conv2d(3, 3, 1), "method": "snip", "batches": batches()},
    ),
    (
        "batch-norm cannot be estimated anew from these batches: Expected more than 1 value",
        {
            "model": nn.Sequential(
                nn.AvgPool2d(8), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4)
            ),
            "method": "magnitude_post",
            "batches": batches(1, 1),
        },
    ),
]


@pytest.mark.parametrize(("message", "change"), BROKEN, ids=[message for message, _ in BROKEN])
def test_what_cannot_be_done_is_said_in_one_line(message: str, change: dict[str, Any]) -> None:
    given = {"model": MODEL, "method": "magnitude", "sparsity": 0.5, "image": IMAGE, **change}
    with pytest.raises(pruning.UserError, match=re.escape(message)) as caught:
        pruning.prune(given.pop("model"), given.pop("method"), **given)
    assert "\n" not in str(caught.value)


def test_a_weight_that_torch_masks_is_named_though_the_model_cannot_be_copied() -> None:
    model = seeded_cnn()
    of_torch.l1_unstructured(model.get_submodule("0"), "weight", 0.5)
    with pytest.raises(
        pruning.UserError, match=r"^layer '0' \(Conv2d\): its 'weight' is set by a "
    ):
        pruning.prune(model, "magnitude", 0.5, image=IMAGE)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("method", ["magnitude", "l1_filter"])
def test_a_weight_that_is_no_number_is_named(method: str, value: float) -> None:
    model = seeded_cnn()
    with torch.no_grad():
        model.get_submodule("0").weight.view(-1)[:2] = value
    count = model.get_submodule("0").weight.numel()
    message = rf"^2 of {count} values of '0.weight' are not finite"
    with pytest.raises(pruning.UserError, match=message):
        pruning.prune(model, method, 0.5, image=IMAGE)


def test_in_inference_mode_the_mode_is_named_and_no_layer() -> None:
    with torch.inference_mode(), pytest.raises(pruning.UserError, match="outside torch.inference"):
        pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE)


class Answer(dict[str, Tensor]):
    """What networks of Hugging Face return."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class Answering(nn.Module):
    """A network that returns more than its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()

    def forward(self, images: Tensor) -> object:
        return Answer(logits=self.network(images))


@pytest.mark.parametrize("method", ["snip", "synflow", "taylor_filter", "grasp"])
def test_a_network_that_returns_more_than_logits_is_wrapped(method: str) -> None:
    with pytest.raises(pruning.UserError, match=r"returns Answer: .* e.g. model\(images\).logits"):
        pruning.prune(Answering(), method, 0.5, batches=batches())
    by_weights_alone = pruning.prune(Answering(), "magnitude", 0.5, image=IMAGE)
    assert by_weights_alone.sparsity == pytest.approx(0.5, abs=1e-3)


def test_a_model_that_cannot_be_copied_is_pruned_in_place() -> None:
    class Uncopied(nn.Linear):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("holds a socket")

    model = nn.Sequential(nn.Flatten(), Uncopied(192, 4))
    with pytest.raises(pruning.UserError, match=r"cannot be copied \(holds a socket\)"):
        pruning.prune(model, "magnitude", 0.5, image=IMAGE)
    assert pruning.prune(model, "magnitude", 0.5, image=IMAGE, inplace=True).sparsity == 0.5
