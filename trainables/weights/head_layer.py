"""The last layer of a network, which yields the logits: found by trying, not by its name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning.user_error import UserError

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def find_head(network: nn.Module, image: tuple[int, int, int], classes: int) -> list[str]:
    """Names of the layers whose output k decides logit k and no other, in the order in which they
    run; several where a network averages the answers of several heads.

    Each linear or convolutional layer with one output per class is tried: its output for one class
    is raised, and only that class's logit may move (against the others: behind a softmax they all
    move alike).

    Args:
        network: its mode and random numbers stay as they are.
        image: (channels, height, width).

    Raises:
        UserError: no layer is like that, or the network does not take such images.
    """
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            heads = _find(network, torch.rand(2, *image), classes)
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        raise UserError(f"the network does not take images of shape {image}: {error}") from error
    finally:
        network.train(training)
    if not heads:
        raise UserError(
            "no layer of the network yields one logit per class, so 'head' says nothing; name the "
            "tensors to draw fresh"
        )
    return heads


def _find(network: nn.Module, images: Tensor, classes: int) -> list[str]:
    order: list[str] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: _note(order, name, out))
        for name, module in network.named_modules()
        if isinstance(module, _LAYERS) and _outputs(module) == classes
    ]
    plain = network(images)
    for hook in hooks:
        hook.remove()
    if not isinstance(plain, Tensor) or plain.shape != (len(images), classes):
        return []
    tried = sorted({0, classes // 2, classes - 1})
    return [
        name
        for name in dict.fromkeys(order)
        if all(_moves_alone(network, name, images, plain, number) for number in tried)
    ]


def _note(order: list[str], name: str, _output: object) -> None:
    order.append(name)


def _outputs(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    assert isinstance(module, nn.modules.conv._ConvNd)
    return int(module.out_channels)


def _moves_alone(network: nn.Module, name: str, images: Tensor, plain: Tensor, number: int) -> bool:
    """Whether raising one output of a layer moves that logit against the others, which stay as they
    are to each other."""
    layer = network.get_submodule(name)
    dim = -1 if isinstance(layer, nn.Linear) else 1

    def raise_one(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        raised = output.clone()
        raised.select(dim, number).add_(10 * (1 + output.abs().max()))
        return raised

    hook = layer.register_forward_hook(raise_one)
    moved = (network(images) - plain).double()
    hook.remove()
    others = torch.cat([moved[:, :number], moved[:, number + 1 :]], dim=1)
    scale = float(moved.abs().max())
    if scale == 0:
        return False
    if others.shape[1] == 0:
        return True
    spread = float((others.amax(1) - others.amin(1)).max())
    rise = float((moved[:, number] - others.amax(1)).min())
    return spread <= 1e-4 * scale and rise > 1e-3 * scale
