"""Trained networks that others have published fit the network they are of, and are as good as their
authors measured."""

import pytest
from torch import nn

from models.model_registry import build_model
from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import read
from tests.trainables.weights.published_networks import (
    FILES,
    RIGHT,
    count_right,
    file_of,
    needs_weights,
)


@needs_weights
def test_published_weights_know_which_network_they_are_of() -> None:
    for model in FILES:
        given = read(file_of(model), model=model)
        assert given.fresh == () and "'module.' was taken off the names" in given.notes
    with pytest.raises(UserError, match="these are the names and shapes of 'resnet56a'"):
        read(file_of("resnet56a"), model="resnet32")


def published(model: str) -> nn.Module:
    network = build_model(model, image=(3, 32, 32), classes=10)
    network.load_state_dict(read(file_of(model), model=model, image=(3, 32, 32)).tensors)
    return network


@needs_weights
def test_published_weights_get_as_many_of_the_first_images_right() -> None:
    assert count_right(published("resnet20a"), 1000) == 820  # of all 10,000 81.03 %, see below


@needs_weights
@pytest.mark.slow
@pytest.mark.parametrize("model", FILES)
def test_published_weights_are_as_good_as_they_were_measured(model: str) -> None:
    images, right = RIGHT[model]
    assert count_right(published(model), images) == right
