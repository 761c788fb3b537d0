"""Batch-norm over ranks is that of the whole batch: values, gradients and running statistics."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.training.rank_threads import ThreadRanks, run_ranks
from trainables.data.batch_part import BatchPart
from trainables.training.synchronised_norm import SynchronisedNorm


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3 + 5


def backward(model: nn.Module, x: Tensor, wanted: Tensor, images: int) -> None:
    """The gradient of a loss that is a mean over so many images."""
    ((model(x) - wanted).square().sum() / images).backward()


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "images": (lambda: nn.BatchNorm2d(4), (6, 4, 3, 3)),
    "parts of unequal size": (lambda: nn.BatchNorm2d(4), (7, 4, 3, 3)),
    "features": (lambda: nn.BatchNorm1d(4), (8, 4)),
    "sequences": (lambda: nn.BatchNorm1d(4), (6, 4, 5)),
    "volumes": (lambda: nn.BatchNorm3d(4), (6, 4, 2, 3, 2)),
    "plain average": (lambda: nn.BatchNorm2d(4, momentum=None), (6, 4, 3, 3)),
    "no scale and shift": (lambda: nn.BatchNorm2d(4, affine=False), (6, 4, 3, 3)),
    "no running statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        (6, 4, 3, 3),
    ),
}


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_ranks_normalise_by_the_whole_batch(case: str, ranks: int) -> None:
    make, shape = CASES[case]
    x, wanted, whole = drawn(*shape), drawn(*shape).flip(0), make()
    for parameter in whole.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    images, input_whole = len(x), x.clone().requires_grad_()
    spans = [BatchPart(rank, ranks).span(0, images) for rank in range(ranks)]

    def normalise(rank: ThreadRanks) -> tuple[nn.Module, Tensor | None, Tensor]:
        model = copy.deepcopy(whole)
        own = slice(*spans[rank.part.rank])
        part = x[own].clone().requires_grad_()
        with SynchronisedNorm(rank, [stop - start for start, stop in spans]):
            values = model(part)
        backward(lambda _: values, part, wanted[own], images)  # type: ignore[arg-type]
        return model, part.grad, values

    results = run_ranks(ranks, normalise)
    backward(whole, input_whole, wanted, images)
    assert input_whole.grad is not None
    values = torch.cat([result[2] for result in results])
    fresh = copy.deepcopy(whole)
    torch.testing.assert_close(values, fresh(x), rtol=1e-5, atol=1e-5)
    gradients = torch.cat([result[1] for result in results])
    torch.testing.assert_close(gradients, input_whole.grad, rtol=1e-4, atol=1e-6)
    for name, parameter in whole.named_parameters():
        summed = sum(dict(result[0].named_parameters())[name].grad for result in results)
        torch.testing.assert_close(summed, parameter.grad, rtol=1e-4, atol=1e-5)
    for model, _, _ in results:
        for name, buffer in whole.named_buffers():
            torch.testing.assert_close(model.get_buffer(name), buffer, rtol=1e-5, atol=1e-6)


def test_moving_or_stretching_all_images_alike_has_no_gradient() -> None:
    x = drawn(6, 2, 4, 4)

    def gradient(rank: ThreadRanks) -> Tensor:
        first, last = rank.part.span(0, 6)
        part = x[first:last].clone().requires_grad_()
        with SynchronisedNorm(rank, [3, 3]):
            values = nn.BatchNorm2d(2)(part)
        weights = torch.linspace(0, 1, 6)[first:last].view(-1, 1, 1, 1)
        (values * weights).sum().backward()
        assert part.grad is not None
        return part.grad

    whole = torch.cat(run_ranks(2, gradient))
    assert whole.sum((0, 2, 3)).abs().max() < 1e-5
    assert (whole * x).sum((0, 2, 3)).abs().max() < 1e-4


def test_bf16_is_normalised_in_float32_and_comes_back_as_bf16() -> None:
    x = (drawn(6, 2, 4, 4) + 300).bfloat16()  # bf16 has a step of 2 there

    def normalise(rank: ThreadRanks) -> Tensor:
        first, last = rank.part.span(0, 6)
        with SynchronisedNorm(rank, [3, 3]):
            return nn.BatchNorm2d(2)(x[first:last])  # type: ignore[no-any-return]

    values = torch.cat(run_ranks(2, normalise))
    assert values.dtype == torch.bfloat16
    torch.testing.assert_close(values.float(), nn.BatchNorm2d(2)(x.float()), rtol=0.01, atol=0.01)


def test_networks_in_eval_mode_and_other_functions_are_left_alone() -> None:
    x, norm = drawn(6, 2, 4, 4), nn.BatchNorm2d(2).eval()

    def normalise(rank: ThreadRanks) -> Tensor:
        with SynchronisedNorm(rank, [3, 3]):
            return nn.functional.relu(norm(x))

    for values in run_ranks(2, normalise):
        assert torch.equal(values, nn.functional.relu(norm(x)))
