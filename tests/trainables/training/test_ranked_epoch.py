"""An epoch by several ranks takes the steps of an epoch by one: uneven batches, gradients of
several batches, pauses, and what batch-norm by rank makes different."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.held_masks import HeldMasks
from pruning.masks import keep_best, prunable
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from tests.trainables.training.rank_threads import ThreadRanks, run_ranks
from tests.trainables.training.training_loop import CPU
from trainables.data.batch_part import BatchPart
from trainables.training.epoch import Epoch, EpochResult
from trainables.training.learning_rate import learning_rate
from trainables.training.optimizer import make_optimizer
from trainables.training.ranked_epoch import RankedEpoch, epoch_of
from trainables.training.ranks import ONE_RANK, Ranks
from trainables.training.recipe import Recipe


def network(norm: bool) -> nn.Module:
    """Smooth, so that rounding stays small: the kink of a ReLU can make it large."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6) if norm else nn.Identity(),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6 * 36, 10),
    )


def images(count: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=drawn), torch.randint(
        0, 10, (count,), generator=drawn
    )


def make_epoch(
    kind: Callable[..., Epoch], model: nn.Module, recipe: Recipe, count: int, **options: Any
) -> Epoch:
    """An epoch over so many images, of which each rank gets its part."""
    x, y = images(count)
    starts = range(0, count, recipe.batch)
    spans = [(start, min(start + recipe.batch, count)) for start in starts]
    first = options.get("paused") or {"index": 0}
    part = options.pop("part", ONE_RANK.part)
    own = [part.span(*span) for span in spans][first["index"] :]
    masks = keep_best({n: w.abs() for n, w in prunable(model).items()}, 0.7)
    held = HeldMasks(model, masks)
    held.apply()
    return kind(
        model,
        [(x[start:stop], y[start:stop]) for start, stop in own],
        steps=len(spans),
        optimizer=options.pop("optimizer", None) or make_optimizer(model, recipe),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        held=held,
        learning_rate=lambda at: learning_rate(recipe, at),
        precision="fp32",
        device=CPU,
        label_smoothing=recipe.label_smoothing,
        accumulate=recipe.accumulate,
        batch=recipe.batch,
        images=count,
        clip=recipe.clip,
        **options,
    )


def train(
    recipe: Recipe, count: int, ranks: int, *, norm: bool
) -> list[tuple[nn.Module, EpochResult]]:
    """The network of each rank after an epoch, and what it returned."""

    def run(rank: Any) -> tuple[nn.Module, EpochResult]:
        model = copy.deepcopy(start)
        result = make_epoch(epoch_of(rank, recipe), model, recipe, count, part=rank.part).train(
            lambda: False
        )
        assert result
        return model, result

    start = network(norm)
    return run_ranks(ranks, run) if ranks > 1 else [run(ONE_RANK)]


RECIPES = {
    "even batches": (Recipe(batch=32, lr=0.1), 128),
    "a short last batch, uneven": (Recipe(batch=32, lr=0.1), 64 + 13),
    "a last batch too small to divide": (Recipe(batch=32, lr=0.1), 64 + 3),
    "accumulated": (Recipe(batch=16, lr=0.1, accumulate=3), 16 * 4 + 9),
    "clipped, smoothed": (Recipe(batch=32, lr=0.1, clip=0.5, label_smoothing=0.1), 128),
    "adam": (Recipe(batch=32, lr=0.01, optimizer="adam"), 128),
}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", RECIPES)
def test_ranks_take_the_steps_of_one(case: str, ranks: int, norm: bool) -> None:
    recipe, count = RECIPES[case]
    ((alone, result),) = train(recipe, count, 1, norm=norm)
    for model, other in train(recipe, count, ranks, norm=norm):
        assert (other.images, other.lr, other.top1) == (result.images, result.lr, result.top1)
        assert other.loss == pytest.approx(result.loss, rel=1e-5)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(
                model.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=f"{case}: {name}"
            )


def test_all_ranks_are_equal_bit_for_bit() -> None:
    recipe, count = RECIPES["a short last batch, uneven"]
    (first, _), *others = train(recipe, count, 3, norm=True)
    for model, _ in others:
        for name, value in first.state_dict().items():
            assert torch.equal(model.state_dict()[name], value), name


def test_batch_norm_by_rank_is_another_training_and_still_equal_at_all_ranks() -> None:
    recipe, count = RECIPES["even batches"]
    by_rank = recipe.model_copy(update={"sync_batch_norm": False})
    ((alone, _),) = train(recipe, count, 1, norm=True)
    (first, _), (second, _) = train(by_rank, count, 2, norm=True)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    difference = (first.state_dict()["4.weight"] - alone.state_dict()["4.weight"]).abs().max()
    assert difference > 1e-3


def test_instance_norm_keeps_the_running_statistics_of_the_first_rank() -> None:
    recipe, count = RECIPES["even batches"]
    start = nn.Sequential(
        nn.InstanceNorm2d(1, track_running_stats=True), nn.Flatten(), nn.Linear(64, 10)
    )

    def run(rank: ThreadRanks) -> nn.Module:
        model = copy.deepcopy(start)
        make_epoch(epoch_of(rank, recipe), model, recipe, count, part=rank.part).train(
            lambda: False
        )
        return model

    first, second = run_ranks(2, run)
    assert torch.equal(first[0].running_mean, second[0].running_mean)
    assert first[0].running_mean.abs().max() > 0


@pytest.mark.parametrize("case", ["a short last batch, uneven", "accumulated"])
def test_a_pause_changes_no_bit_at_any_batch(case: str) -> None:
    recipe, count = RECIPES[case]
    expected = train(recipe, count, 2, norm=True)[0]
    pauses = 0

    def run(rank: ThreadRanks) -> tuple[nn.Module, EpochResult]:
        nonlocal pauses
        model, optimizer, paused = copy.deepcopy(start), None, None
        while True:
            epoch = make_epoch(
                epoch_of(rank, recipe),
                model,
                recipe,
                count,
                part=rank.part,
                paused=paused,
                optimizer=optimizer,
            )
            result = epoch.train(lambda: True)
            if result:
                return model, result
            pauses += 1
            # As a checkpoint: what the first rank knows is what all get.
            paused = rank._table.exchange(rank.part.rank, epoch.state())[0]
            optimizer = epoch.optimizer

    start = network(True)
    for model, result in run_ranks(2, run):
        assert result == expected[1]
        for name, value in expected[0].state_dict().items():
            assert torch.equal(model.state_dict()[name], value), name
    assert pauses == {"a short last batch, uneven": 2 * 2, "accumulated": 2 * 1}[case]


def test_an_epoch_goes_on_with_another_number_of_ranks() -> None:
    recipe, count = RECIPES["even batches"]
    ((alone, result),) = train(recipe, count, 1, norm=True)

    def begin(rank: ThreadRanks) -> tuple[nn.Module, Epoch]:
        model = copy.deepcopy(start)
        epoch = make_epoch(epoch_of(rank, recipe), model, recipe, count, part=rank.part)
        assert epoch.train(lambda: epoch.index == 2) is None
        return model, epoch

    start = network(True)
    model, epoch = run_ranks(2, begin)[0]

    def finish(rank: Ranks) -> tuple[nn.Module, EpochResult]:
        own = copy.deepcopy(model)
        optimizer = make_optimizer(own, recipe)
        optimizer.load_state_dict(copy.deepcopy(epoch.optimizer.state_dict()))
        ended = make_epoch(
            epoch_of(rank, recipe),
            own,
            recipe,
            count,
            part=rank.part,
            paused=epoch.state(),
            optimizer=optimizer,
        ).train(lambda: False)
        assert ended
        return own, ended

    for own, ended in [finish(ONE_RANK), *run_ranks(3, finish)]:
        assert (ended.top1, ended.images) == (result.top1, result.images)
        assert ended.loss == pytest.approx(result.loss, rel=1e-5)
        torch.testing.assert_close(own.state_dict(), alone.state_dict(), rtol=1e-4, atol=1e-5)


def test_one_rank_trains_by_the_plain_epoch() -> None:
    assert epoch_of(ONE_RANK, Recipe()) is Epoch
    assert ONE_RANK.agree(lambda: True) and not ONE_RANK.agree(lambda: False)
    assert isinstance(
        make_epoch(
            lambda *given, **options: RankedEpoch(
                *given, ranks=ONE_RANK, synchronised=True, **options
            ),
            network(True),
            Recipe(batch=32),
            64,
        ),
        RankedEpoch,
    )


class EchoRanks(Ranks):
    """Two ranks, of which the other one is not there and always has what this one has."""

    def __init__(self) -> None:
        super().__init__(BatchPart(0, 2))

    def gather(self, value: object) -> list[Any] | None:
        return [value, value]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            tensor.detach().mul_(2)

    def stack(self, values: Tensor) -> Tensor:
        return torch.stack([values, values])


@in_cuda_process
def test_on_a_gpu_steps_of_a_rank_wait_nowhere_and_are_those_of_a_cpu() -> None:
    x, y = images(96)
    networks = {}
    for device in (CPU, torch.device("cuda")):
        with PretendedGpu() as gpu:
            model = network(True).to(device)
            parts = [
                (x[start : start + 16].to(device), y[start : start + 16].to(device))
                for start in (0, 32, 64)
            ]
            epoch = RankedEpoch(
                model,
                parts,
                steps=3,
                optimizer=make_optimizer(model, Recipe()),
                scaler=torch.amp.GradScaler(device.type, enabled=False),
                held=HeldMasks(model, {}),
                learning_rate=lambda at: 0.1,
                precision="bf16",
                device=device,
                batch=32,
                images=96,
                ranks=EchoRanks(),
                synchronised=True,
            )
            with gpu.no_waits():
                for part in parts:
                    epoch._step(*part)
            networks[device.type] = {
                name: value.cpu() for name, value in model.state_dict().items()
            }
    for name, value in networks["cpu"].items():
        assert torch.equal(networks["cuda"][name], value), name
