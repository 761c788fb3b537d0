"""Filter criteria against naive loops, and the method base that turns them into a plan.

Covers: pruning/filters.py, pruning/methods/l1_filter.py, pruning/methods/l2_filter.py,
pruning/methods/fpgm.py, pruning/methods/taylor_filter.py,
pruning/structured/width_macs.py.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.model_registry import build_model
from pruning.cost import layer_costs, macs
from pruning.filters import FilterMethod, distance_sums, l1_norms, l2_norms, loss_changes
from pruning.masks import all_kept, prunable
from pruning.method import Card, PruneInput
from pruning.methods.hrank import HRank
from pruning.methods.taylor_filter import TaylorFilter
from pruning.structured.channel_groups import find_groups
from pruning.structured.keep_plan import Smaller
from pruning.structured.shrink import shrink
from pruning.structured.unit_scores import Writer, writers_of
from pruning.user_error import UserError
from tests.pruning.structured.networks_to_cut import parameter_sparsity

torch.set_num_threads(1)

IMAGE = (3, 16, 16)


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for start in range(0, count, 8):
        size = min(8, count - start)
        yield (
            torch.randn(size, *IMAGE, generator=generator),
            torch.randint(0, 10, (size,), generator=generator),
        )


def prune_input(model: nn.Module, sparsity: float) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(0),
        images=images,
        image=IMAGE,
    )


def writers(model: nn.Module, *layers: str) -> dict[str, Writer]:
    found = writers_of(find_groups(model, IMAGE))
    return {layer: found[layer] for layer in layers}


class Longest(FilterMethod):
    """Ranks filters by L1 norm."""

    card = Card(title="", paper="", summary="", kind="structured", cost="", when="")

    def filter_scores(self, inputs: PruneInput, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: l1_norms(weight) for layer, weight in filters.items()}


@pytest.mark.parametrize("shape", [(7, 3, 3, 2), (5, 11)])
def test_norms_and_distances_equal_naive_loops(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    filters = torch.randn(*shape)
    rows = [[float(value) for value in row.reshape(-1)] for row in filters]
    l1 = [sum(abs(value) for value in row) for row in rows]
    l2 = [sum(value * value for value in row) ** 0.5 for row in rows]
    far = [
        sum(sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) ** 0.5 for other in rows)
        for row in rows
    ]
    assert l1_norms(filters).tolist() == pytest.approx(l1, rel=1e-5)
    assert l2_norms(filters).tolist() == pytest.approx(l2, rel=1e-5)
    assert distance_sums(filters).tolist() == pytest.approx(far, rel=1e-5)


def test_near_twins_have_their_true_distance() -> None:
    torch.manual_seed(0)
    one = 10 * torch.randn(1, 512, 3, 3).double()
    filters = one.repeat(40, 1, 1, 1) + 1e-4 * torch.randn(40, 512, 3, 3).double()
    flat = filters.flatten(1).float().double()  # as single precision holds them
    truth = (flat[:, None] - flat[None]).square().sum(-1).sqrt().sum(1)
    assert distance_sums(filters.float()).double() == pytest.approx(truth, rel=1e-4)


def test_loss_changes_equal_a_naive_loop() -> None:
    torch.manual_seed(0)
    model = build_model("resnet20", image=IMAGE, classes=10).double().train()
    model.get_submodule("stages.0").eval()
    modes = [module.training for module in model.modules()]
    buffers = [buffer.clone() for buffer in model.buffers()]
    batches = [(x.double(), y) for x, y in images(20)]
    layers = ["conv", "stages.1.0.shortcut.0", "stages.2.2.conv1"]
    scores = loss_changes(model, writers(model, *layers), batches)

    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), buffers, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    probe = deepcopy(model).eval()
    expected = {layer: [0.0] * len(probe.get_parameter(f"{layer}.weight")) for layer in layers}
    for x, y in batches:
        probe.zero_grad()
        torch.autograd.backward(cross_entropy(probe(x), y))
        for layer in layers:
            weight = probe.get_parameter(f"{layer}.weight")
            assert weight.grad is not None
            for index, (row, slopes) in enumerate(
                zip(weight.tolist(), weight.grad.tolist(), strict=True)
            ):
                change = 0.0
                for plane, plane_slopes in zip(row, slopes, strict=True):
                    for line, line_slopes in zip(plane, plane_slopes, strict=True):
                        for value, slope in zip(line, line_slopes, strict=True):
                            change += value * slope
                expected[layer][index] += change**2 / len(batches)
    for layer in layers:
        assert scores[layer].tolist() == pytest.approx(expected[layer], rel=1e-9)


def test_loss_changes_predict_what_a_slightly_smaller_filter_costs() -> None:
    torch.manual_seed(0)
    model = build_model("resnet20", image=IMAGE, classes=10).double().eval()
    x, y = next(images(8))
    scores = loss_changes(model, writers(model, "conv"), [(x.double(), y)])["conv"]
    for index in range(4):
        losses = []
        for factor in (1 - 1e-8, 1 + 1e-8):  # so near that no activation passes through zero
            probe = deepcopy(model)
            with torch.no_grad():
                probe.get_parameter("conv.weight")[index] *= factor
                losses.append(float(cross_entropy(probe(x.double()), y)))
        assert float(scores[index]) == pytest.approx(
            ((losses[1] - losses[0]) / 2e-8) ** 2, rel=1e-4
        )


def test_batch_statistics_would_make_every_change_zero() -> None:
    """Why `loss_changes` runs in eval mode: a filter before batch-norm has no scale in
    train mode."""
    torch.manual_seed(0)
    model = build_model("resnet20", image=IMAGE, classes=10).double()
    x, y = next(images(8))
    weight = model.get_parameter("conv.weight")
    (gradient,) = torch.autograd.grad(cross_entropy(model.train()(x.double()), y), [weight])
    blind = (gradient * weight).flatten(1).sum(1).square().detach()
    assert (
        loss_changes(model, writers(model, "conv"), [(x.double(), y)])["conv"].max()
        > 1e6 * blind.max()
    )


def test_loss_changes_are_without_tf32_and_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the scores of all other methods: on a GPU torch lets convolutions run in TF32."""
    seen: list[tuple[bool, bool]] = []

    class Looking(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu")))
            return super().forward(x)

    model = nn.Sequential(Looking(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 14), nn.Flatten())
    found = writers(model, "0")
    seen.clear()
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_changes(model, found, images(8))
    assert seen == [(False, False)] and torch.backends.cudnn.allow_tf32


def test_loss_changes_need_a_batch() -> None:
    with pytest.raises(ValueError, match="at least 1 batch"):
        loss_changes(build_model("mlp", image=IMAGE, classes=10), {}, [])


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


def test_hrank_has_nothing_to_rank_across_groups() -> None:
    with pytest.raises(ValidationError):
        HRank.model_validate({"ranking": "global"})


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


def test_import_needs_no_torch() -> None:
    code = "import sys, pruning.filters; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_taylor_ranks_by_the_loss_of_its_examples() -> None:
    torch.manual_seed(0)
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    found = find_groups(model, IMAGE)
    answer = TaylorFilter(examples=20).prune(prune_input(model, 0.5))
    scores = loss_changes(model, writers_of(found), images(20))
    assert set(answer.keep) == {group.name for group in found}
    for name, index in answer.keep.items():
        best = scores[name].topk(len(index)).indices
        assert index.tolist() == sorted(best.tolist())
