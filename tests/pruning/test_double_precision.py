"""Networks that cast in their forward pass, where scores and proofs are in double precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import pruning
from pruning.connectivity import is_connected
from pruning.double_precision import DoublePrecision
from pruning.gradient_scores import flow_scores, positive_copy
from pruning.masks import prunable
from pruning.structured.channel_groups import analyse
from pruning.structured.structure_proof import proof_error, random_half

torch.set_num_threads(1)
IMAGE = (3, 8, 8)


class NormInSingle(nn.LayerNorm):
    """As CLIP's: in float32 whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.type(torch.float32)).type(x.dtype)


class RootMeanSquareInSingle(nn.Module):
    """As Llama's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: Tensor) -> Tensor:
        single = x.to(torch.float32)
        single = single * torch.rsqrt(single.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * single.to(x.dtype)


class SoftmaxInSingle(nn.Module):
    """As attention of Hugging Face has it, with a constant made on the spot."""

    def forward(self, x: Tensor) -> Tensor:
        shift = torch.full((1,), 0.1)
        return x * functional.softmax(x + shift, dim=-1, dtype=torch.float32).to(x.dtype)


class Tokens(nn.Module):
    """Patches of an image, a hidden layer, something between, and the classes."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.hidden, self.between, self.back = nn.Linear(16, 12), between, nn.Linear(12, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.between(self.patches(x).flatten(2).transpose(1, 2))
        logits: Tensor = self.head(self.back(self.hidden(tokens).relu()).mean(1))
        return logits


class LowPrecision(nn.Module):
    """bf16 convolutions and a classifier in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3).bfloat16()
        self.second = nn.Conv2d(8, 8, 3).bfloat16()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.second(self.first(x.to(self.first.weight.dtype)).relu()).relu()
        logits: Tensor = self.head(maps.mean((2, 3)).float())
        return logits


class Mixed(nn.Module):
    """A constant in float32 that is no buffer, so that no cast of the network reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.randn(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix


KINDS: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: Tokens(NormInSingle(16)),
    "RMS norm": lambda: Tokens(RootMeanSquareInSingle()),
    "softmax": lambda: Tokens(SoftmaxInSingle()),
    "constant": lambda: Tokens(Mixed()),
    "bf16": LowPrecision,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_rounds_or_fails_in_float32_is_proven_in_float64(kind: str) -> None:
    model = KINDS[kind]().eval()
    structure = analyse(model, IMAGE)
    assert structure.groups
    assert proof_error(model, structure, random_half(structure), IMAGE) < 1e-13
    for method in ("l1_filter", "synflow"):
        pruned = pruning.prune(model, method, 0.2, image=IMAGE)
        assert pruned.sparsity == pytest.approx(0.2, abs=0.05)
    empty = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in prunable(model).items()}
    assert is_connected(model, {name: ~mask for name, mask in empty.items()}, IMAGE)
    assert not is_connected(model, empty, IMAGE)


@pytest.mark.parametrize("kind", ["layer norm", "bf16"])
def test_the_flow_through_casts_is_conserved(kind: str) -> None:
    """The scores of the first layer and of the last sum to the same, to twelve digits."""
    model = KINDS[kind]().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in prunable(model).items()}
    scores = list(flow_scores(positive_copy(model, masks), IMAGE).values())
    assert all(score.dtype == torch.float64 for score in scores)
    assert scores[0].sum() == pytest.approx(float(scores[-1].sum()), rel=1e-12)


def test_casts_and_new_tensors_are_float64_and_others_as_they_were() -> None:
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with DoublePrecision():
        found = [x.float(), x.half(), x.bfloat16(), x.sum(dtype=torch.float32), torch.zeros(2)]
        found += [torch.tensor(0.1), torch.linspace(0, 1, 3), torch.softmax(x, 0, torch.float32)]
        assert {tensor.dtype for tensor in found} == {torch.float64}
        assert torch.arange(3).dtype == x.long().dtype == torch.int64
        assert torch.ones(2, dtype=torch.complex64).dtype == torch.complex64
    assert float(torch.tensor(0.1, dtype=torch.float32)) != 0.1
    (x.float() * x).sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float64
    assert torch.zeros(2).dtype == torch.float32
