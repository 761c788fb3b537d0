"""The plan that a filter method makes of its scores: sparsity, rankings, layers set apart,
obstacles.

Covers: pruning/filters.py, pruning/structured/width_macs.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

import pruning
from models.model_registry import build_model
from pruning.cost import layer_costs, macs
from pruning.filters import FilterMethod, l1_norms
from pruning.masks import prunable
from pruning.method import Card, PruneInput
from pruning.structured.channel_groups import find_groups
from pruning.structured.keep_plan import Smaller
from pruning.structured.shrink import shrink
from pruning.user_error import UserError
from tests.pruning.filter_inputs import IMAGE, prune_input
from tests.pruning.structured.networks_to_cut import parameter_sparsity


class Longest(FilterMethod):
    """Ranks filters by L1 norm."""

    card = Card(title="", paper="", summary="", kind="structured", cost="", when="")

    def filter_scores(self, inputs: PruneInput, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: l1_norms(weight) for layer, weight in filters.items()}


@pytest.mark.parametrize("mode", ["inner", "all"])
def test_plan_reaches_the_sparsity_and_keeps_the_best(mode: Literal["inner", "all"]) -> None:
    torch.manual_seed(0)
    model = build_model("resnet18", image=IMAGE, classes=10)
    answer = Longest(mode=mode).prune(prune_input(model, 0.5))
    assert isinstance(answer, Smaller)
    assert parameter_sparsity(model, answer.keep, image=IMAGE) == pytest.approx(0.5, abs=0.005)
    cut = {
        group.name: group
        for group in find_groups(model, IMAGE)
        if mode == "all" or not group.residual
    }
    assert set(answer.keep) == set(cut)
    assert len(cut) == (12 if mode == "all" else 8)
    for name, index in answer.keep.items():
        scores = [0.0] * cut[name].channels
        for layer in cut[name].producers:
            for channel, row in enumerate(model.get_parameter(f"{layer}.weight")):
                scores[channel] += float(row.detach().abs().sum())
        gone = set(range(cut[name].channels)) - set(index.tolist())
        assert gone
        assert min(scores[i] for i in index.tolist()) >= max(scores[i] for i in gone)
    small = shrink(model, answer.keep, image=IMAGE)
    if mode == "inner":
        assert len(small.get_parameter("stages.3.1.conv2.weight")) == 512
        assert small.get_parameter("fc.weight").shape == (10, 512)


def test_note_tells_the_ratio_and_a_sparsity_that_was_missed() -> None:
    model = build_model("resnet18", image=IMAGE, classes=10)
    inputs = prune_input(model, 0.75)
    Longest().prune(inputs)
    assert inputs.notes[0].startswith("channel ratio 0.50") and "nearest" not in inputs.notes[0]
    # Every inner width at 16 of 64 ... 512; stem, shortcuts and classifier whole.
    inputs = prune_input(model, 0.999)
    answer = Longest(mode="inner", round_to=16).prune(inputs)
    reached = parameter_sparsity(model, answer.keep, image=IMAGE)
    assert {len(index) for index in answer.keep.values()} == {16}
    assert inputs.notes[0].endswith(
        f"the nearest to sparsity 0.999 that whole channels allow is {reached:.4f}"
    )
    assert reached < 0.999


class Reshaped(nn.Module):
    """A width written into the forward pass keeps the channels of `b` and `c`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.c, self.d = nn.Linear(128, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = functional.max_pool2d(self.b(self.a(x).relu()).relu(), 4)
        logits: Tensor = self.d(self.c(maps.view(-1, 128)).relu())
        return logits


def test_a_sparsity_that_falls_short_names_the_layers_that_stay_whole() -> None:
    pruned = pruning.prune(Reshaped(), "l1_filter", 0.5, image=(3, 16, 16))
    (note,) = pruned.notes
    start = "channel ratio 1.0000, the nearest to sparsity 0.5 that whole channels allow is 0.1382"
    assert note.startswith(f"{start}; channels that cannot be removed: b, c (layer 'c' (Linear): ")
    reached = pruning.prune(Reshaped(), "l1_filter", 0.1, image=(3, 16, 16)).notes[0]
    assert "cannot be removed" not in reached


def test_a_global_ranking_removes_the_lowest_of_all_groups() -> None:
    torch.manual_seed(0)
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    with torch.no_grad():  # a scale of its own for a group changes nothing, a few dead ones do
        model.get_parameter("conv1.weight").mul_(1e-3)
        model.get_parameter("conv2.weight")[:60].mul_(1e-2)
    found = find_groups(model, IMAGE)
    plan = Longest(ranking="global").prune(prune_input(model, 0.8)).keep
    scores = {g.name: l1_norms(model.get_parameter(f"{g.name}.weight").detach()) for g in found}
    shares = {name: score / score.mean() for name, score in scores.items()}
    kept = [float(shares[name][index].min()) for name, index in plan.items()]
    gone = [
        float(share)
        for name, group in shares.items()
        for channel, share in enumerate(group)
        if channel not in set(plan[name].tolist())
    ]
    assert max(gone) <= min(kept) * (1 + 1e-6)
    assert len(plan["conv2"]) / 64 < 0.3 < len(plan["conv1"]) / 32
    assert parameter_sparsity(model, plan, image=IMAGE) == pytest.approx(0.8, abs=0.02)


def test_no_group_ends_empty_when_all_are_ranked_together() -> None:
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    plan = Longest(ranking="global").prune(prune_input(model, 0.99999)).keep
    assert {len(index) for index in plan.values()} == {1}


@pytest.mark.parametrize("ranking", ["uniform", "global"])
def test_a_target_of_macs_removes_that_part_of_them(ranking: Literal["uniform", "global"]) -> None:
    model = build_model("resnet20", image=IMAGE, classes=10)
    inputs = prune_input(model, 0.5)
    plan = Longest(target="macs", ranking=ranking).prune(inputs).keep
    counts = [macs(layer_costs(m, IMAGE)) for m in (shrink(model, plan, image=IMAGE), model)]
    assert counts[0] / counts[1] == pytest.approx(0.5, abs=0.03)
    assert f"{1 - counts[0] / counts[1]:.4f} of the MACs" in inputs.notes[-1]


@pytest.mark.parametrize("ranking", ["uniform", "global"])
def test_the_sparsity_is_that_of_the_layers_that_are_not_set_apart(
    ranking: Literal["uniform", "global"],
) -> None:
    torch.manual_seed(0)
    model = build_model("resnet20", image=IMAGE, classes=10)
    apart = {"stages.2.0.conv1.weight": 0.75, "stages.2.1.conv1.weight": 0.0}
    inputs = replace(prune_input(model, 0.6), fixed=apart)
    plan = Longest(ranking=ranking).prune(inputs).keep
    assert (len(plan["stages.2.0.conv1"]), len(plan["stages.2.1.conv1"])) == (16, 64)
    assert list(plan) == [group.name for group in find_groups(model, IMAGE)]
    whole, left = (prunable(m) for m in (model, shrink(model, plan, image=IMAGE)))
    others = [name for name in whole if name not in apart]
    gone = 1 - sum(left[n].numel() for n in others) / sum(whole[n].numel() for n in others)
    assert gone == pytest.approx(0.6, abs=0.01)
    assert inputs.notes[-1].startswith("channel ratio 0.") and "other layers" in inputs.notes[-1]


def test_where_all_layers_are_set_apart_nothing_is_left_to_choose() -> None:
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    apart = {f"{group.name}.weight": 0.5 for group in find_groups(model, IMAGE)}
    inputs = replace(prune_input(model, 0.9), fixed=apart)
    plan = Longest(ranking="global").prune(inputs).keep
    assert {name: len(index) for name, index in plan.items()} == {
        group.name: group.channels // 2 for group in find_groups(model, IMAGE)
    }
    assert inputs.notes == [
        "no layer follows the study's sparsity, as all have a fraction of their own"
    ]


def test_layers_that_cannot_lose_what_is_asked_are_an_obstacle_before_the_study() -> None:
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    inputs = replace(prune_input(model, 0.5), fixed={"fc2.weight": 0.5})
    with pytest.raises(UserError, match=r"^layer_sparsity: no filters of fc2\.weight"):
        Longest().find_obstacle(inputs)


def test_widths_are_multiples() -> None:
    model = build_model("resnet20", image=IMAGE, classes=10)
    plan = Longest(round_to=8).prune(prune_input(model, 0.6)).keep
    assert {len(index) % 8 for index in plan.values()} == {0}


def test_network_without_groups_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
    with pytest.raises(ValueError, match="no channels of the network can be removed"):
        Longest().prune(prune_input(model, 0.5))


@pytest.mark.parametrize(
    "knobs", [{"round_to": 0}, {"mode": "outer"}, {"retrain": "no"}, {"rewind_to": -1}]
)
def test_wrong_knobs_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Longest.model_validate(knobs)


def test_a_network_whose_proof_fails_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    assert Longest().find_obstacle(prune_input(model, 0.5)) is None
    monkeypatch.setattr("pruning.structured.structure_proof.proof_error", lambda *_: 1e-6)
    other = build_model("simple_cnn", image=IMAGE, classes=10)
    reason = Longest().find_obstacle(prune_input(other, 0.5))
    assert reason and "the smaller network must answer as the masked one" in reason
