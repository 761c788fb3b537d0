"""Recalibration finds the statistics of the data."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.batch_norm import recalibrate_batch_norm
from pruning.held_masks import HeldMasks
from tests.trainables.training.training_loop import CPU, batches, train
from trainables.training.evaluation import evaluate
from trainables.training.recipe import Recipe


def test_recalibration_finds_the_mean_and_variance_of_the_data_and_moves_no_weight() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    x = torch.stack([x for x, _ in batches(8)])
    weights = {name: value.clone() for name, value in model.named_parameters()}
    recalibrate_batch_norm(model, ((part, part) for part in x))
    norm = model[0]
    assert (
        isinstance(norm, nn.BatchNorm2d)
        and norm.running_mean is not None
        and norm.running_var is not None
    )
    assert norm.running_mean.item() == pytest.approx(x.mean().item(), abs=1e-5)
    assert norm.running_var.item() == pytest.approx(
        sum(part.var().item() for part in x) / 8, rel=1e-5
    )
    assert norm.momentum == 0.1 and not model.training
    assert all(torch.equal(value, weights[name]) for name, value in model.named_parameters())


def test_a_dense_network_survives_recalibration_on_the_batches_it_was_trained_on() -> None:
    torch.manual_seed(0)
    model, data = build_model("resnet8", image=(1, 8, 8), classes=10), batches()
    for _ in range(12):
        train(model, Recipe(lr=0.05), HeldMasks(model, {}), data)

    def again() -> Iterator[tuple[Tensor, Tensor]]:
        return iter(data)

    before = evaluate(model, again(), precision="fp32", device=CPU)
    recalibrate_batch_norm(model, again())
    after = evaluate(model, again(), precision="fp32", device=CPU)
    assert before is not None and after is not None
    assert after.loss <= before.loss + 0.05


@pytest.mark.parametrize("kind", ["BatchNorm2d", "SyncBatchNorm", "timm", "InstanceNorm2d"])
def test_every_kind_of_layer_with_running_statistics_gets_plain_averages(kind: str) -> None:
    """The version before left instance-norm as the dense network had it."""
    norm: nn.Module
    match kind:
        case "BatchNorm2d":
            norm = nn.BatchNorm2d(1, momentum=None)
        case "SyncBatchNorm":
            norm = nn.SyncBatchNorm(1)
        case "timm":
            from timm.layers import BatchNormAct2d

            norm = BatchNormAct2d(1, act_layer=nn.Identity)
        case _:
            norm = nn.InstanceNorm2d(1, track_running_stats=True)
    momentum, x = norm.momentum, torch.stack([x for x, _ in batches(8)])
    norm.running_mean.fill_(9)  # type: ignore[operator, union-attr]
    recalibrate_batch_norm(nn.Sequential(norm), ((part, part) for part in x))
    assert norm.running_mean.item() == pytest.approx(x.mean().item(), abs=1e-5)  # type: ignore[operator, union-attr]
    assert norm.momentum == momentum and not norm.training


def test_layers_without_running_statistics_are_left_alone() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.InstanceNorm2d(1))
    recalibrate_batch_norm(model, batches(2))
    assert [norm.momentum for norm in model] == [0.1, 0.1]
