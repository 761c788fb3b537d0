"""All weights cast at once against autocast, which casts layer by layer."""

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from tests.contract.small_networks import Residual
from trainables.training.cast_weights import CastWeights
from trainables.training.precision import autocast

CPU = torch.device("cpu")


class Tied(nn.Module):
    """A linear layer whose weight is an embedding's, too; one that is called twice; one that is not
    used; and a convolution that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(5, 8), nn.Linear(8, 5)
        self.out.weight = self.embedding.weight
        self.twice, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)
        self.fixed = nn.Conv2d(1, 8, 8)
        self.fixed.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        features = self.fixed(x).flatten(1) + self.embedding.weight[0]
        logits: Tensor = self.out(self.twice(self.twice(features)))
        return logits


def learn(model: nn.Module, image: tuple[int, int, int], *, at_once: bool) -> list[Tensor | None]:
    """The logits and the gradients of a batch in bf16."""
    model.zero_grad()
    x = torch.randn(6, *image, generator=torch.Generator().manual_seed(0))
    with autocast("bf16", CPU):
        logits = CastWeights(model, torch.bfloat16)(x) if at_once else model(x)
    logits.float().square().sum().backward()
    return [logits.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("name", ["residual", "tied", "resnet8", "mlp"])
def test_logits_and_gradients_are_those_of_autocast(name: str) -> None:
    image = (1, 8, 8)
    torch.manual_seed(0)
    made = {"residual": lambda: Residual(1, 10), "tied": Tied}
    model = made[name]() if name in made else build_model(name, image=image, classes=10)
    one_by_one = [x if x is None else x.clone() for x in learn(model, image, at_once=False)]
    for alone, together in zip(one_by_one, learn(model, image, at_once=True), strict=True):
        assert (alone is None) == (together is None)
        assert alone is None or together is None or torch.equal(alone, together)
        assert together is None or together.dtype == alone.dtype  # type: ignore[union-attr]


def test_only_weights_of_its_layers_are_cast() -> None:
    cast = CastWeights(Tied(), torch.bfloat16)
    assert set(cast._weights) == {
        "out.bias",
        "twice.weight",
        "twice.bias",
        "unused.weight",
        "unused.bias",
        "fixed.bias",
    }
