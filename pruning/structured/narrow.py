"""Networks that lost channels: by their widths alone, or put back into the shapes of the whole with
zeros."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.masks import prunable
from pruning.structured.keep_plan import KeepPlan
from pruning.structured.shrink import shrink


def narrow(
    whole: nn.Module, widths: Mapping[str, int], *, image: tuple[int, int, int]
) -> nn.Module:
    """A network with so many channels in each group that is named: the first ones of the whole
    network.

    Raises:
        UserError, ValueError: see `pruning.structured.shrink.shrink`.
    """
    return shrink(whole, {name: torch.arange(width) for name, width in widths.items()}, image=image)


@torch.no_grad()
def widen(
    small: nn.Module, whole: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network in the shapes of `whole` that computes in eval mode what `small` does, and masks of
    what it kept.

    Removed channels get zero weights and biases, and batch-norm that maps them to zero.

    Args:
        small: what is left of such a network.
        keep: the cut that left it.

    Returns:
        The network, and for each prunable weight a bool tensor, True where `small` has the weight.

    Raises:
        UserError, ValueError: see `pruning.structured.shrink.shrink`.
    """
    places = _places(whole, keep, image)
    wide, values = copy.deepcopy(whole), small.state_dict()
    weights, masks = prunable(wide), {}
    for name, tensor in wide.state_dict().items():
        if name not in places:
            tensor.copy_(values[name])
            continue
        # A removed channel is zero behind its batch-norm: (0 - 0) / sqrt(1 + eps) * 0 + 0.
        flat = torch.full(
            (tensor.numel(),), float(name.endswith("running_var")), dtype=tensor.dtype
        )
        flat[places[name]] = values[name].reshape(-1)
        tensor.copy_(flat.view(tensor.shape))
        if name in weights:
            mask = torch.zeros(tensor.numel(), dtype=torch.bool)
            mask[places[name]] = True
            masks[name] = mask.view(tensor.shape)
    return wide, masks


def _places(whole: nn.Module, keep: KeepPlan, image: tuple[int, int, int]) -> dict[str, Tensor]:
    """For each entry of the small network's tensors, int64, its place in the flat tensor of the
    whole one.

    Found by cutting a network in which every entry holds its own place; doubles hold whole numbers
    up to 2^53.
    """
    numbered = copy.deepcopy(whole).double()
    for tensor in numbered.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape))
    cut = shrink(numbered, keep, image=image).state_dict()
    return {
        name: tensor.reshape(-1).long()
        for name, tensor in cut.items()
        if tensor.is_floating_point()
    }
