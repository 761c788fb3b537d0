"""Filter criteria against naive loops.

Covers: pruning/methods/l1_filter.py, pruning/methods/l2_filter.py, pruning/methods/fpgm.py.
"""

import re
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.model_registry import build_model
from pruning.filters import distance_sums, l1_norms, l2_norms, loss_changes
from pruning.structured.channel_groups import find_groups
from pruning.structured.unit_scores import Writer, writers_of
from tests.pruning.filter_inputs import IMAGE, images


def writers(model: nn.Module, *layers: str) -> dict[str, Writer]:
    found = writers_of(find_groups(model, IMAGE))
    return {layer: found[layer] for layer in layers}


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


@pytest.mark.parametrize("label", [-100, 9])
def test_a_label_that_no_logit_has_is_said(label: int) -> None:
    """Torch passes over -100, and one that is too large ends the process on a GPU."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    batch = (torch.ones(2, 1, 2, 2), torch.tensor([0, label]))
    with pytest.raises(ValueError, match=re.escape("labels must be in [0, 3), but got ")):
        loss_changes(model, {}, [batch])


def test_loss_changes_need_a_batch() -> None:
    with pytest.raises(ValueError, match="at least 1 batch"):
        loss_changes(build_model("mlp", image=IMAGE, classes=10), {}, [])


def test_import_needs_no_torch() -> None:
    code = "import sys, pruning.filters; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
