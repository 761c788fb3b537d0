"""Every network by name: the project's, those of torchvision and timm, and the user's.

Importing this does not import torch.

A network is a function `(image, classes)` that returns an `nn.Module`: `image` is (channels,
height, width), and the module maps [B, channels, height, width] to logits [B, classes]. Weights are
drawn from torch's global generator.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from models import zoo
from models.user_modules import import_user_module, user_imports
from pruning.user_error import UserError, find_nearest, nearest

if TYPE_CHECKING:
    from torch import nn

MODELS: dict[str, str] = {
    "resnet18": "models.cifar_resnet:resnet18",
    "resnet8": "models.cifar_resnet:resnet8",
    "resnet20": "models.cifar_resnet:resnet20",
    "resnet32": "models.cifar_resnet:resnet32",
    "resnet44": "models.cifar_resnet:resnet44",
    "resnet56": "models.cifar_resnet:resnet56",
    "resnet110": "models.cifar_resnet:resnet110",
    "resnet20a": "models.padded_resnet:resnet20a",
    "resnet32a": "models.padded_resnet:resnet32a",
    "resnet44a": "models.padded_resnet:resnet44a",
    "resnet56a": "models.padded_resnet:resnet56a",
    "resnet110a": "models.padded_resnet:resnet110a",
    "vgg16": "models.vgg:vgg16",
    "vgg16_hidden": "models.vgg:vgg16_hidden",
    "simple_cnn": "models.simple:simple_cnn",
    "mlp": "models.simple:mlp",
    "lenet_300_100": "models.lenet:lenet_300_100",
    "lenet5_caffe": "models.lenet:lenet5_caffe",
    "conv2": "models.scaled_vgg:conv2",
    "conv4": "models.scaled_vgg:conv4",
    "conv6": "models.scaled_vgg:conv6",
}


def list_models() -> list[str]:
    """Names of all networks, in the order of the registry."""
    return list(MODELS)


def check_model_name(name: str) -> None:
    """Refuse a name that is neither in the registry nor of the form of a library's network or
    `package.module:function`; imports nothing.

    Raises:
        UserError: neither; the message names the nearest fix.
    """
    if name in MODELS:
        return
    if ":" not in name:
        raise UserError(f"no model '{name}'{_hint_at_name(name)}")
    if zoo.is_library_name(name):
        zoo.check_library_name(name)
        return
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise UserError(f"a model of your own is named 'package.module:function', but got '{name}'")


def _hint_at_name(name: str) -> str:
    """The end of the error line for a name of no network: the one that was probably meant, of the
    project, of a library or of a file of the user's."""
    if found := re.fullmatch(r"(torchvision|timm)(?:\.models)?[./ _-]+(\w+)", name):
        return f"; did you mean '{found[1]}:{found[2]}'?"
    if name.endswith(".py") or (found := re.fullmatch(r"([\w.]+)\.(\w+)", name)):
        own = f"{found[1]}:{found[2]}" if found else f"{Path(name).stem}:FUNCTION"
        return f"; a network of your own is named by its module and function: '{own}'"
    others = ["torchvision:NAME", "timm:NAME", "package.module:function"]
    if near := find_nearest(name, MODELS):
        return f"; did you mean '{near}'? (one of a library is torchvision:NAME or timm:NAME)"
    return nearest(name, [*MODELS, *others])


def build_model(name: str, *, image: tuple[int, int, int], classes: int) -> nn.Module:
    """A network with fresh weights, in float32 on torch's default device.

    Args:
        image: (channels, height, width) of one image.

    Raises:
        UserError: see `check_model_name`; the module or function cannot be imported; or the
            function does not take `image` and `classes`, or returns no `nn.Module`.
        ValueError: a size below 1, or an image the network cannot take.
    """
    from torch import nn

    check_model_name(name)
    if len(image) != 3 or min(image) < 1:
        raise ValueError(
            f"image must be (channels, height, width), each at least 1, but got {image}"
        )
    if classes < 1:
        raise ValueError(f"classes must be at least 1, but got {classes}")
    function = _find_function(name)
    try:
        inspect.signature(function).bind(image=image, classes=classes)
    except TypeError as error:
        raise UserError(f"model '{name}' must take (image, classes), but: {error}") from error
    own = is_users_model(name)
    with user_imports(name.partition(":")[0]) if own else nullcontext():
        model = function(image=image, classes=classes)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model '{name}' must return an nn.Module, but returned {type(model).__name__}"
        )
    _materialise(model, image)
    return model


def is_users_model(name: str) -> bool:
    """Whether a network is a function of the user's, by its name."""
    return ":" in name and not zoo.is_library_name(name)


def _materialise(model: nn.Module, image: tuple[int, int, int]) -> None:
    """Give lazy layers their sizes and weights, by one forward pass of a zero image."""
    import torch
    from torch.nn.parameter import is_lazy

    if any(is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()]):
        training = model.training
        with torch.no_grad():
            model.eval()(torch.zeros(1, *image))
        model.train(training)


def _find_function(name: str) -> Callable[..., object]:
    """The function behind a checked name."""
    if zoo.is_library_name(name):
        return partial(zoo.build_library_model, name)
    if name in MODELS:
        module, _, function = MODELS[name].partition(":")
        found: Callable[..., object] = getattr(import_module(module), function)
        return found
    return import_function(name, purpose=f"model '{name}'")


def import_function(name: str, *, purpose: str) -> Callable[..., object]:
    """A function by `package.module:function`; the module is imported.

    Args:
        purpose: what it is for, as an error line names it.

    Raises:
        UserError: the module cannot be imported, or has no such function.
    """
    path, _, attribute = name.partition(":")
    try:
        module = import_user_module(path)
    except (Exception, SystemExit) as error:
        # The user's module may fail in any way, even by ending the program.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        absent = isinstance(error, ModuleNotFoundError) and path.startswith(str(error.name))
        hint = "is it on PYTHONPATH?" if absent else "mend it, or what it imports"
        if absent and path.endswith(".py"):
            hint = f"name it without .py: {path.removesuffix('.py')}:{attribute}"
        raise UserError(f"cannot import '{path}' for {purpose} ({reason}); {hint}") from error
    function: object = getattr(module, attribute, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value)]
        near = find_nearest(attribute, functions)
        hint = f"; did you mean '{path}:{near}'?" if near else "; define it there"
        raise UserError(f"no function '{attribute}' in '{path}' for {purpose}{hint}")
    return function
