"""Classification networks of torchvision and timm by name: `torchvision:resnet50`,
`timm:resnet10t`.

They come with fresh weights; nothing is downloaded. torchvision takes seconds to import, and timm
is an extra, so both are imported only when such a network is built. Importing this does not import
torch.

torchvision's ResNets, ResNeXts and wide ResNets are made for small images by a suffix:
`torchvision:resnet18+cifar_stem` begins with a 3x3 convolution of stride 1 and has no max-pool, as
He et al. 2016 (arXiv 1512.03385) begin on CIFAR; all other layers keep their names.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pruning.user_error import UserError, find_nearest

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("torchvision", "timm")
CIFAR_STEM = "+cifar_stem"
INSTALL = "pip install --editable '.[models]' in the checkout, or pip install 'timm>=1.0.22'"


def is_library_name(name: str) -> bool:
    """Whether a model's name is one of a library's: `torchvision:NAME` or `timm:NAME`."""
    return name.partition(":")[0] in LIBRARIES and ":" in name


def check_library_name(name: str) -> None:
    """Refuse a name that has not the form of a library's network, without importing the library.

    Whether the library has such a network is checked by `build_library_model`.

    Raises:
        UserError: it has another form.
    """
    library, _, network = name.partition(":")
    network, plus, suffix = network.partition("+")
    if plus and f"+{suffix}" != CIFAR_STEM:
        raise UserError(f"a network has no suffix '+{suffix}'; there is '{CIFAR_STEM}'")
    if plus and (library != "torchvision" or not _has_resnet_stem(network)):
        raise UserError(
            f"'{CIFAR_STEM}' is for torchvision's resnet, resnext and wide_resnet, "
            f"but got '{name}'; leave it out"
        )
    if not re.fullmatch(r"[A-Za-z0-9_]+", network):
        tagged = f"{library}:{network.partition('.')[2]}"
        tag = (
            f" (a tag after a dot names trained weights: --weights {tagged})"
            if "." in network
            else ""
        )
        raise UserError(f"a network of {library} is named '{library}:NAME', but got '{name}'{tag}")


def split_library_name(name: str) -> tuple[str, str, bool]:
    """Library, network and whether it has a CIFAR stem, of a checked name."""
    library, _, network = name.partition(":")
    return library, network.removesuffix(CIFAR_STEM), network.endswith(CIFAR_STEM)


def _has_resnet_stem(network: str) -> bool:
    return re.match(r"(wide_)?res(net|next)\d", network) is not None


def build_library_model(name: str, *, image: tuple[int, int, int], classes: int) -> nn.Module:
    """A network of a library with fresh weights.

    Args:
        image: (channels, height, width); torchvision's networks take 3 channels, timm's any number.

    Raises:
        UserError: no such network, or its library is not installed.
        ValueError: channels that it cannot take.
    """
    library, network, cifar_stem = split_library_name(name)
    package = import_library(name)
    known: list[str] = (
        package.list_models(module=package) if library == "torchvision" else package.list_models()
    )
    if network not in known:
        near = find_nearest(network, known)
        hint = f"did you mean '{library}:{near}'?" if near else f"it has {len(known)} others"
        raise UserError(f"{library} has no classification network '{network}'; {hint}")
    model: nn.Module
    if library == "timm":
        model = package.create_model(
            network, pretrained=False, num_classes=classes, in_chans=image[0]
        )
    elif image[0] != 3:
        raise ValueError(
            f"torchvision's networks take 3 channels, but the images have {image[0]}; "
            "timm's take any number"
        )
    else:
        # The side branches of these two return several tensors while training.
        two_outputs = network in ("googlenet", "inception_v3")
        extra = {"aux_logits": False, "init_weights": True} if two_outputs else {}
        model = package.get_model(network, weights=None, num_classes=classes, **extra)
    if cifar_stem:
        _give_cifar_stem(model)
    return model


def _give_cifar_stem(model: Any) -> None:
    """Begin a ResNet of torchvision for small images, drawn as torchvision draws convolutions."""
    from torch import nn

    model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


def import_library(name: str) -> Any:
    """The library of a network's name, imported: `torchvision.models` or `timm`.

    Raises:
        UserError: it is not installed, or fits another torch.
    """
    library = name.partition(":")[0]
    try:
        return import_module("torchvision.models" if library == "torchvision" else library)
    except (ImportError, RuntimeError, AttributeError) as error:
        # It is not installed, or fits another torch.
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise UserError(f"model '{name}' needs {library}: {INSTALL}") from None
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"cannot import {library} for model '{name}' ({type(error).__name__}: {reason}); "
            "install the one that fits this torch"
        ) from error
