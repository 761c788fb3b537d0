"""The training loop: masks hold, precision follows rules, recalibration finds the statistics of the
data."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build
from pruning.masks import keep_best, prunable
from trainables.training.epoch import (
    Epoch,
    HeldMasks,
    choose_precision,
    evaluate,
    make_optimizer,
    recalibrate,
)
from trainables.training.recipe import Recipe

CPU = torch.device("cpu")


def batches(count: int = 6, size: int = 32) -> list[tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(count, size, 1, 8, 8, generator=drawn) * 2 + 1
    return list(zip(x, torch.randint(0, 10, (count, size), generator=drawn), strict=True))


def train(
    model: nn.Module, recipe: Recipe, held: HeldMasks, data: list[tuple[Tensor, Tensor]]
) -> float:
    ended = Epoch(
        model,
        data,
        steps=len(data),
        optimizer=make_optimizer(model, recipe),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        held=held,
        learning_rate=lambda fraction: recipe.learning_rate(fraction),
        precision="fp32",
        device=CPU,
    ).walk(lambda: False)
    assert ended
    return ended.loss


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masked_weights_stay_exactly_zero_and_the_others_move(optimizer: str) -> None:
    torch.manual_seed(0)
    model = build("resnet8", image=(1, 8, 8), classes=10)
    masks = keep_best({n: w.abs() for n, w in prunable(model).items()}, 0.8)
    held = HeldMasks(model, masks)
    held.apply()
    before = {name: weight.detach().clone() for name, weight in prunable(model).items()}
    train(model, Recipe.model_validate({"optimizer": optimizer, "lr": 0.01}), held, batches())
    for name, weight in prunable(model).items():
        assert not weight[~masks[name]].any()
        assert not torch.equal(weight, before[name])


def test_one_epoch_equals_a_plain_loop() -> None:
    recipe, data = Recipe(lr=0.05, epochs=4, nesterov=True), batches()
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(build("resnet8", image=(1, 8, 8), classes=10))
    loss = train(models[0], recipe, HeldMasks(models[0], {}), data)
    optimizer = torch.optim.SGD(
        models[1].parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    losses = []
    for index, (x, y) in enumerate(data):
        for group in optimizer.param_groups:
            group["lr"] = (
                0.05 * (1 + torch.cos(torch.tensor(torch.pi * index / len(data) / 4)).item()) / 2
            )
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(models[1](x), y)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(value.item())
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    for (name, one), other in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pauses", [{1}, {2, 5}, {1, 2, 3, 4, 5}])
def test_an_epoch_that_paused_ends_bit_equal_even_where_others_draw_random_numbers_meanwhile(
    pauses: set[int],
) -> None:
    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)
        )
        return model, make_optimizer(model, Recipe(lr=0.05))

    def epoch(
        model: nn.Module, optimizer: torch.optim.Optimizer, paused: dict[str, Any] | None = None
    ) -> Epoch:
        return Epoch(
            model,
            batches()[paused["index"] if paused else 0 :],
            steps=6,
            optimizer=optimizer,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
            held=HeldMasks(model, {}),
            learning_rate=lambda fraction: 0.05 * (1 - fraction),
            precision="fp32",
            device=CPU,
            paused=paused,
        )

    calm, calm_optimizer = fresh()
    torch.manual_seed(7)
    whole = epoch(calm, calm_optimizer).walk(lambda: False)

    model, optimizer = fresh()
    torch.manual_seed(7)
    running = epoch(model, optimizer)
    walked = 0
    while (result := running.walk(lambda epoch=running: epoch.index in pauses)) is None:
        walked += 1
        torch.manual_seed(walked)  # what anything else in the process may do
        if (
            walked % 2
        ):  # every other time in a new process: all that lives on is what state dicts hold
            saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), running.state()))
            model, optimizer = fresh()
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
            torch.manual_seed(99)
            running = epoch(model, optimizer, saved[2])
    assert walked == len(pauses)
    assert result == whole
    assert all(
        torch.equal(value, calm.state_dict()[name]) for name, value in model.state_dict().items()
    )


def test_a_loss_that_is_not_finite_is_an_error_with_advice() -> None:
    model = build("mlp", image=(1, 8, 8), classes=10)
    data = [(x * float("nan"), y) for x, y in batches(1)]
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        train(model, Recipe(), HeldMasks(model, {}), data)


def test_accuracy_is_counted_over_all_images() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4, 0], [0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]])
    labels = torch.tensor([0, 3, 6])
    found = evaluate(
        Fixed(), [(logits[:2], labels[:2]), (logits[2:], labels[2:])], precision="fp32", device=CPU
    )
    assert found is not None
    assert found.top1 == pytest.approx(100 / 3)
    assert found.top5 == pytest.approx(200 / 3)
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))
    assert evaluate(Fixed(), [], precision="fp32", device=CPU) is None


def test_recalibration_finds_the_mean_and_variance_of_the_data_and_moves_no_weight() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    x = torch.stack([x for x, _ in batches(8)])
    weights = {name: value.clone() for name, value in model.named_parameters()}
    recalibrate(model, ((part, part) for part in x), precision="fp32", device=CPU)
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
    model, data = build("resnet8", image=(1, 8, 8), classes=10), batches()
    for _ in range(12):
        train(model, Recipe(lr=0.05), HeldMasks(model, {}), data)

    def again() -> Iterator[tuple[Tensor, Tensor]]:
        return iter(data)

    before = evaluate(model, again(), precision="fp32", device=CPU)
    recalibrate(model, again(), precision="fp32", device=CPU)
    after = evaluate(model, again(), precision="fp32", device=CPU)
    assert before is not None and after is not None
    assert after.loss <= before.loss + 0.05


def test_precision_follows_rules() -> None:
    mlp, network = (build(name, image=(1, 8, 8), classes=10) for name in ("mlp", "resnet8"))
    assert choose_precision("auto", mlp, CPU) == "fp32"
    assert choose_precision("auto", network, CPU) in ("bf16", "fp32")
    assert choose_precision("fp16", network, CPU) == "fp16"
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if able.get("amx_bf16"):
        assert choose_precision("auto", network, CPU) == "bf16"
