"""The proof that the smaller network computes what the masked one does: on library networks, and
that it finds faults put into a right structure.

Covers: pruning/structured/structure_proof.py, pruning/structured/narrow_window_attention.py.
"""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.structured.channel_groups import analyse
from pruning.structured.group_parts import Part, Structure
from pruning.structured.structure_proof import (
    TOLERANCE,
    find_fault,
    find_training_fault,
    first_tensor,
    make_lively,
    proof_error,
    prove,
    random_half,
    rounding_error,
)
from pruning.user_error import UserError
from tests.networks import forward_passes
from tests.pruning.structured.library_networks import OF_EVERY_KIND, SIZES, SWIN
from tests.pruning.structured.networks_to_cut import random_plan

torch.set_num_threads(1)

NONE = {"timm:nf_resnet26"}  # its filters are standardised over their inputs
# Of each kind one: cat, shuffle, groups, gates, heads and windows (these in a small swin).
QUICK = (
    *("torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5"),
    *("torchvision:mobilenet_v3_small", "timm:seresnet18"),
)
EVERY = [
    SWIN,
    *(
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in OF_EVERY_KIND
    ),
]


@pytest.mark.parametrize("name", EVERY)
def test_a_library_network_is_proven_or_refused(name: str) -> None:
    torch.manual_seed(0)
    image = (3, SIZES.get(name, 64), SIZES.get(name, 64))
    model = build_model(name, image=image, classes=10)
    structure = analyse(model, image)
    assert bool(structure.groups) == (name not in NONE)
    if structure.groups:
        for plan in (random_half(structure), random_plan(list(structure.groups), 5)):
            assert proof_error(model, structure, plan, image) < 1e-13


def spoil(structure: Structure, spoilt: Part, kind: str) -> Structure:
    """The structure with the units of one part moved on by one, or without that part."""
    groups = []
    for group in structure.groups:
        parts = [
            replace(part, unit=part.unit.roll(1)) if part is spoilt else part
            for part in group.parts
            if part is not spoilt or kind == "moved"
        ]
        groups.append(replace(group, parts=tuple(parts)))
    return replace(structure, groups=tuple(groups))


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:seresnet18", "resnet20"])
def test_faults_are_found(name: str) -> None:
    torch.manual_seed(0)
    image = (3, 32, 32)
    model = build_model(name, image=image, classes=10)
    structure = analyse(model, image)
    plan = {group.name: torch.arange(0, group.channels, 2) for group in structure.groups}
    parts = [part for group in structure.groups for part in group.parts if part.role != "scales"]
    spoilt = itertools.product(random.Random(0).sample(parts, 4), ("moved", "left out"))
    for part, kind in spoilt:
        with pytest.raises(UserError):
            prove(model, spoil(structure, part, kind), plan, image)


def test_a_fault_is_a_line_and_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model("resnet8", image=(3, 8, 8), classes=10)
    assert find_fault(model, (3, 8, 8)) == ""
    errors = iter([1e-3])
    other = build_model("resnet8", image=(3, 8, 8), classes=10)
    module = "pruning.structured.structure_proof.proof_error"
    monkeypatch.setattr(module, lambda *_: next(errors))
    for _ in range(2):
        fault = find_fault(other, (3, 8, 8))
        assert fault.endswith("they differ by 1.0e-03") and f"{TOLERANCE:g}" in fault


class Chaotic(nn.Module):
    """Makes much of rounding: every step of the logistic map doubles a small difference."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(192, 64), nn.Linear(64, 6)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(x.flatten(1)).relu()).sigmoid()
        for _ in range(self.steps):
            logits = 4 * logits * (1 - logits)
        return logits


def test_the_rounding_of_a_network_is_no_fault_of_its_structure() -> None:
    image = (3, 8, 8)
    for steps, rounds in ((0, False), (26, True)):
        model = Chaotic(steps)
        structure = analyse(model, image)
        plan = random_half(structure)
        assert plan
        error = prove(model, structure, plan, image)
        assert (error > TOLERANCE) is rounds and error < 1e-6
        assert (rounding_error(model, structure, plan, image) > TOLERANCE) is rounds
        (part,) = (part for part in structure.groups[0].parts if part.tensor == "second.weight")
        with pytest.raises(UserError, match="but they differ by"):
            prove(model, spoil(structure, part, "moved"), plan, image)


def test_signals_stay_about_one_through_many_blocks() -> None:
    """Else they grew by each block of a residual network, here to 2e7."""
    model = build_model("resnet110", image=(3, 8, 8), classes=10)
    lively, x = make_lively(model, (3, 8, 8))
    with torch.no_grad():
        assert 0.01 < float(lively(x).abs().max()) < 100


def test_a_network_of_given_widths_is_tried_in_training_mode_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = (3, 8, 8)
    model, other = forward_passes.auxiliary(image, 10), forward_passes.optional(image, 10)
    x = torch.randn(2, *image)
    keep, same_widths = {"first": torch.arange(4)}, {"first": torch.arange(4, 8)}
    assert find_training_fault(other, keep, x, image=image) == ""
    fault = find_training_fault(model, {"body": torch.arange(8)}, x, image=image)
    assert "does not run in training mode" in fault and "\n" not in fault
    monkeypatch.setattr("pruning.structured.structure_proof.shrink", None)
    assert find_training_fault(other, same_widths, x, image=image) == ""
    assert find_training_fault(model, {"body": torch.arange(8)}, x, image=image) == fault
    with pytest.raises(TypeError):  # other widths are tried
        find_training_fault(other, {"first": torch.arange(5)}, x, image=image)


def test_the_first_tensor_of_several_outputs_is_the_logits() -> None:
    x, y = torch.zeros(1), torch.ones(1)
    assert first_tensor((x, y)) is x and first_tensor({"logits": [x, y]}) is x
