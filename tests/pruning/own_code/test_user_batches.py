"""Images of the user's, as methods draw them.

Covers: pruning/own_code/random_state.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from pruning.own_code.random_state import seeded_apart
from pruning.own_code.user_batches import UserBatches
from pruning.user_error import UserError

CPU = torch.device("cpu")


def numbered(count: int) -> TensorDataset:
    """Images whose every pixel is their number."""
    x = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return TensorDataset(x, torch.arange(count))


def made(batches: Any) -> UserBatches:
    return UserBatches(batches, CPU, torch.float32)


def draw(batches: UserBatches, count: int, seed: int = 0) -> list[Tensor]:
    return [y for _, y in batches.draw(count, torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize("size", [1, 50, 128, 300, 1000])
def test_batches_of_any_size_become_batches_of_128(size: int) -> None:
    loader = made(DataLoader(numbered(1000), batch_size=size))
    assert [len(y) for y in draw(loader, 300)] == [128, 128, 44]
    assert torch.equal(torch.cat(draw(loader, 300)), torch.arange(300))
    assert loader.notes == []


def test_a_shuffling_loader_gives_equal_images_for_equal_seeds_and_draws_from_nobody() -> None:
    loader = made(DataLoader(numbered(200), batch_size=8, shuffle=True))
    torch.manual_seed(5)
    first = torch.cat(draw(loader, 20))
    after = torch.rand(1)
    assert torch.equal(first, torch.cat(draw(loader, 20)))
    assert not torch.equal(first, torch.cat(draw(loader, 20, seed=1)))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)


def test_an_iterator_is_read_once_and_what_it_gave_is_given_again() -> None:
    read = []

    def images() -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(10):
            read.append(number)
            yield torch.full((4, 1, 2, 2), float(number)), torch.full((4,), number)

    batches = made(images())
    x, _ = batches.first()
    assert x.shape == (4, 1, 2, 2)
    first = torch.cat(draw(batches, 10))
    assert read == [0, 1, 2]
    assert torch.equal(first, torch.cat(draw(batches, 10)))
    assert len(torch.cat(draw(batches, 30))) == 30 and len(read) == 8


def test_too_few_images_are_noted_once() -> None:
    batches = made(DataLoader(numbered(10), batch_size=4))
    assert len(torch.cat(draw(batches, 50))) == len(torch.cat(draw(batches, 50))) == 10
    assert batches.notes == ["the method asked for 50 images, but the batches have 10"]


def test_images_take_the_type_of_the_model() -> None:
    ((x, y),) = UserBatches(
        [(torch.zeros(2, 1, 2, 2), torch.zeros(2).int())], CPU, torch.float64
    ).read(0)
    assert (x.dtype, y.dtype) == (torch.float64, torch.int64)


X, Y = torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches must yield (images, labels), but there are none"),
        ([X], "batches must yield (images, labels), but yield Tensor"),
        ([{"image": X}], "but yield dict"),
        ([(X, [0, 1])], "as tensors, but yield float32 [2, 1, 2, 2] and list"),
        ([(X.byte(), Y)], "images must be floats [B, C, H, W] as the network takes them, but"),
        ([(X[0], Y)], "but are float32 [1, 2, 2]"),
        ([(X, Y[:1])], "labels must be whole numbers, one for each image, but are int64 [1]"),
        ([(X, Y.float())], "but are float32 [2]"),
        ([(X[:0], Y[:0])], "batches must hold images, but one has none"),
    ],
)
def test_what_is_no_batch_is_said_in_one_line(batches: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        made(batches).first()


def test_images_of_another_size_are_refused() -> None:
    other = (torch.zeros(1, 1, 3, 4), Y[:1])
    with pytest.raises(UserError, match="^images must be of one size, 1x2x2 here, .* has 1x3x4$"):
        draw(made([(X, Y), other]), 3)
    batches = made([other])
    batches.expect((1, 2, 2))
    with pytest.raises(UserError, match="images must be of one size"):
        batches.first()


def test_generators_are_put_back_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with pytest.raises(KeyError), seeded_apart(CPU, 9):
        {}[torch.rand(1)]
    assert torch.equal(torch.rand(1), expected)
