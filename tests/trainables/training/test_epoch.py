"""The training loop: masks hold, an epoch may pause, a loss that is not finite is an error."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.held_masks import HeldMasks
from pruning.masks import keep_best, prunable
from tests.networks.forward_passes import auxiliary, auxiliary_dict
from tests.trainables.training.training_loop import CPU, batches, train
from trainables.training.epoch import Epoch
from trainables.training.optimizer import make_optimizer
from trainables.training.recipe import Recipe


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masked_weights_stay_exactly_zero_and_the_others_move(optimizer: str) -> None:
    torch.manual_seed(0)
    model = build_model("resnet8", image=(1, 8, 8), classes=10)
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
        models.append(build_model("resnet8", image=(1, 8, 8), classes=10))
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


def gradients_of_a_step(model: nn.Module, recipe: Recipe, held: HeldMasks) -> dict[str, Tensor]:
    """How far one optimiser step of plain gradient descent moves each weight, over its rate."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    (x, y), *_ = batches(1)
    Epoch(
        model,
        [(x, y)],
        steps=1,
        optimizer=make_optimizer(model, recipe),
        scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=recipe.precision == "fp16"),
        held=held,
        learning_rate=lambda _: recipe.lr,
        precision="fp32",
        device=CPU,
        clip=recipe.clip,
    ).train(lambda: False)
    return {
        name: (before[name] - weight.detach()) / recipe.lr
        for name, weight in model.named_parameters()
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16"])  # the latter with a gradient scaler
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_the_gradient_of_the_kept_weights_is_clipped_to_a_norm(
    precision: str, sparsity: float
) -> None:
    fields = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "precision": precision}
    plain, clipped, within = (
        Recipe.model_validate({**fields, "clip": clip}) for clip in (None, 0.01, 1e3)
    )
    moved = []
    for recipe in (plain, clipped, within):
        torch.manual_seed(0)
        model = build_model("mlp", image=(1, 8, 8), classes=10)
        masks = keep_best({n: w.abs() for n, w in prunable(model).items()}, sparsity)
        held = HeldMasks(model, masks)
        held.apply()
        moved.append(gradients_of_a_step(model, recipe, held))
    free, cut, same = moved
    norm = torch.stack([gradient.norm() for gradient in free.values()]).norm()
    assert norm > 0.1
    for name, gradient in free.items():
        torch.testing.assert_close(cut[name], gradient * 0.01 / norm, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(same[name], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [6, 7])
def test_each_optimiser_step_has_the_rate_and_the_masks_of_its_accumulated_batches(
    count: int,
) -> None:
    """Of six or seven batches by threes; the last step has three or one."""
    torch.manual_seed(0)
    model = build_model("mlp", image=(1, 8, 8), classes=10)
    rates: list[float] = []
    calls: dict[str, list[int]] = {"update": [], "stepped": []}

    def learning_rate(part: float) -> float:
        rates.append(part)
        return 0.1

    result = Epoch(
        model,
        batches(count),
        steps=count,
        optimizer=make_optimizer(model, Recipe()),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        held=HeldMasks(model, {}),
        learning_rate=learning_rate,
        precision="fp32",
        device=CPU,
        accumulate=3,
        batch=32,
        images=32 * count,
        update=lambda step: calls["update"].append(step),
        stepped=lambda: calls["stepped"].append(len(rates)),
    ).train(lambda: False)
    steps = 2 if count == 6 else 3
    assert rates == [*(step / steps for step in range(steps)), (steps - 1) / steps]
    assert calls == {"update": list(range(steps)), "stepped": [step + 1 for step in range(steps)]}
    assert result and result.images == 32 * count


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
    whole = epoch(calm, calm_optimizer).train(lambda: False)

    model, optimizer = fresh()
    torch.manual_seed(7)
    running = epoch(model, optimizer)
    paused_times = 0
    while (result := running.train(lambda epoch=running: epoch.index in pauses)) is None:
        paused_times += 1
        torch.manual_seed(paused_times)  # what anything else in the process may do
        if (
            paused_times % 2
        ):  # every other time in a new process: all that lives on is what state dicts hold
            saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), running.state()))
            model, optimizer = fresh()
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
            torch.manual_seed(99)
            running = epoch(model, optimizer, saved[2])
    assert paused_times == len(pauses)
    assert result == whole
    assert all(
        torch.equal(value, calm.state_dict()[name]) for name, value in model.state_dict().items()
    )


def test_a_loss_that_is_not_finite_is_an_error_with_advice() -> None:
    model = build_model("mlp", image=(1, 8, 8), classes=10)
    data = [(x * float("nan"), y) for x, y in batches(1)]
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        train(model, Recipe(), HeldMasks(model, {}), data)


def test_of_auxiliary_logits_only_the_main_ones_are_trained() -> None:
    """As GoogLeNet returns them; the plain loop takes the main logits by name."""
    recipe, data, trained = Recipe(lr=0.05, augment="none"), batches(), []
    for make in (auxiliary, auxiliary_dict):
        torch.manual_seed(0)
        model = make((1, 8, 8), 10)
        before = copy.deepcopy(model.state_dict())
        train(model, recipe, HeldMasks(model, {}), data)
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        assert torch.equal(value, trained[1][name])
        assert torch.equal(value, before[name]) == name.startswith("side")
