"""The network of the user's script while it is pruned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from pruning.eval_mode import eval_mode
from pruning.own_code.random_state import seeded_apart
from pruning.prunable_layers import refuse_empty_parameters
from pruning.pruned_network import PrunedNetwork
from pruning.seeds import derive_seed
from pruning.user_error import UserError

# Wrappers, whose parameters have other names than the network's, and where the network is in them.
WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


class UserNetwork(PrunedNetwork):
    """A network of the user's with the masks and cuts of one method.

    whole: the network before any pruning; looked at where it has to be made whole again.
    maker: what makes the network with fresh weights, if the user gave it. seed: of what it draws.
    """

    def __init__(
        self,
        model: nn.Module,
        image: tuple[int, int, int],
        *,
        whole: nn.Module,
        maker: Callable[[], nn.Module] | None,
        seed: int,
        **choices: Any,
    ) -> None:
        self._whole, self._maker, self._seed = whole, maker, seed
        super().__init__(model, image, find_device(model), **choices)

    def build(self, stream: str) -> nn.Module:
        """The whole network with fresh weights from (seed, stream), drawn on the CPU whatever the
        device.

        Raises:
            UserError: the user did not say how it is made.
        """
        if self._maker is None:
            raise UserError(
                "this method draws weights anew: give build=, a function without arguments that "
                "makes the network with fresh weights"
            )
        with seeded_apart(self.device, derive_seed(self._seed, stream)):
            return self._maker().to(self.device)

    def follow(self) -> None:
        """Bring the masks to the device to which the user has moved the model since."""
        device = find_device(self.model)
        if device != self.device:
            self.device = device
            self.masks = {name: mask.to(device) for name, mask in self.masks.items()}

    def build_whole(self) -> nn.Module:
        return copy.deepcopy(self._whole).to(self.device)


def check_user_model(model: Any) -> None:
    """Pass if this is a network that can be pruned: a module, not a wrapper around one.

    Raises:
        UserError: it is not.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"the model must be a torch.nn.Module, but is {type(model).__name__}")
    if torch.is_inference_mode_enabled():
        raise UserError("prune outside torch.inference_mode(), in which weights cannot be trained")
    kind = type(model).__name__
    if kind in WRAPPERS:
        raise UserError(
            f"the model is wrapped in {kind}: prune model.{WRAPPERS[kind]}, then wrap the result"
        )
    devices = {str(parameter.device) for parameter in model.parameters()}
    if len(devices) > 1:
        raise UserError(
            f"the model must lie on one device, but lies on {', '.join(sorted(devices))}"
        )


def check_user_image(image: object) -> tuple[int, int, int]:
    """The size of an image, if it is one.

    Raises:
        UserError: it is not.
    """
    sizes = tuple(image) if isinstance(image, Sequence) else ()
    if len(sizes) != 3 or not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise UserError(
            f"image must be (channels, height, width) in whole numbers, but is {image!r}"
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


@torch.no_grad()
def check_that_it_runs(model: nn.Module, image: tuple[int, int, int]) -> None:
    """Pass if the network takes an image; its output is not looked at.

    Raises:
        UserError: it does not; or a layer has no size yet; or a weight is inf or nan.
    """
    refuse_empty_parameters(model)
    _refuse_non_finite(model)
    x = torch.zeros(1, *image, device=find_device(model), dtype=find_dtype(model))
    try:
        with eval_mode(model):
            model(x)
    except Exception as error:  # a module of the user's may fail in any way
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        size = "x".join(map(str, image))
        raise UserError(
            f"the model must take images [B, C, H, W] alone, but fails on one of {size}: {text}"
        ) from error


def _refuse_non_finite(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if bad := int((~parameter.isfinite()).sum()):
            raise UserError(
                f"{bad} of {parameter.numel()} values of '{name}' are not finite (inf or nan): "
                "the training that made them had failed; take an earlier checkpoint"
            )


@torch.no_grad()
def check_output(network: PrunedNetwork) -> None:
    """Pass if the network answers with logits.

    Raises:
        UserError: it does not.
    """
    x = torch.zeros(1, *network.image, device=network.device, dtype=find_dtype(network.model))
    output = network.model(x)
    if not isinstance(output, Tensor):
        raise UserError(
            f"the model must return its logits as a tensor, but returns {type(output).__name__}: "
            "prune a module that calls it and returns them, e.g. model(images).logits"
        )
    if output.dim() != 2:
        raise UserError(
            "this method needs logits [B, classes], but the model returns a tensor "
            f"{list(output.shape)}: prune a module that calls it and returns logits"
        )


def find_device(model: nn.Module) -> torch.device:
    """The device of a network's parameters; the CPU where it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def find_dtype(model: nn.Module) -> torch.dtype:
    """The type of a network's first parameter; float32 where it has none."""
    return next((parameter.dtype for parameter in model.parameters()), torch.float32)
