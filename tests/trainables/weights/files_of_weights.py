"""A trained network, files of its weights as people have them, and what is read back."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.user_error import UserError
from trainables.weights.given_weights import GivenWeights
from trainables.weights.sources import read_weights

torch.set_num_threads(1)

IMAGE = (3, 16, 16)

Weights = dict[str, Tensor]


def build(model: str = "resnet20a", classes: int = 10, seed: int = 3) -> nn.Module:
    """A network whose statistics and counters are not those of a fresh one."""
    torch.manual_seed(seed)
    network = build_model(model, image=IMAGE, classes=classes)
    network.train()(torch.randn(4, *IMAGE))
    return network.eval()


@functools.cache
def built() -> Weights:
    return build().state_dict()


def trained() -> Weights:
    return {name: tensor.clone() for name, tensor in built().items()}


def read(path: Path | str, **changed: Any) -> GivenWeights:
    asked: dict[str, Any] = {"model": "resnet20a", "image": IMAGE, "classes": 10, **changed}
    return read_weights(str(path), **asked)


def put_before(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def with_optimiser(weights: Weights) -> dict[str, Any]:
    network = build()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, *IMAGE)).sum().backward()
    optimiser.step()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    state = {"optimizer": optimiser.state_dict(), "lr_scheduler": schedule.state_dict()}
    return {"model": weights, "epoch": 7, "best": 91.2, **state}


def other(weights: Weights) -> Weights:
    return {name: tensor + 1 for name, tensor in weights.items()}


def lightning(weights: Weights) -> dict[str, Any]:
    return {
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**put_before("model.", weights), "criterion.weight": torch.ones(10)},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [],
    }


def check(given: GivenWeights, weights: Weights) -> None:
    """That the given weights are these, whole, and that a network takes them."""
    network = build()
    assert list(given.tensors) == list(network.state_dict()) and given.fresh == ()
    for name, tensor in given.tensors.items():
        assert torch.equal(tensor, weights[name]), name
        assert tensor.dtype == (torch.int64 if "num_batches" in name else torch.float32)
        assert tensor.device.type == "cpu" and not tensor.requires_grad and tensor.is_contiguous()
    network.load_state_dict(given.tensors)


def check_one_line(write: Callable[[Path], Any], message: str, folder: Path) -> None:
    """That a file which is written so is refused by one line that names it."""
    file = folder / "file.pth"
    write(file)
    with pytest.raises(UserError) as caught:
        read(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def cast(dtype: torch.dtype) -> Callable[[Weights], Weights]:
    return lambda w: {n: t.to(dtype) if t.is_floating_point() else t for n, t in w.items()}


def save(make: Callable[[Weights], Any], **options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(make(trained()), path, **options)


def without(*parts: str) -> Callable[[Weights], Weights]:
    return lambda w: {n: t for n, t in w.items() if not any(part in n for part in parts)}


def replace(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: change(weights[name])}
