"""Initial weights of a network that lost channels, drawn as the network's own initialiser draws for
layers of such widths.

Most initialisers scale weights by the number of a layer's inputs or outputs. A part of what the
whole network draws has the scale of the wide layer: too small for the narrow one, by the square
root of the ratio, which batch-norm hides and a network without it does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook


def draw_small_weights(
    build: Callable[[], nn.Module], small: nn.Module
) -> tuple[dict[str, Tensor], list[str]]:
    """What the network draws at the widths of `small`.

    The network is built again, and each of its layers gets the small shapes, and a draw by its own
    `reset_parameters`, at the moment at which it becomes part of the network; whatever the
    network's code does to its layers after that, it does to small ones.

    Args:
        build: makes the whole network, each time the same one.
        small: what is left of such a network.

    Returns:
        Weights and buffers by state-dict name, and the names of those that could not be drawn so.
    """
    registered: list[nn.Module] = []
    with _each_registered(registered.append):
        whole = build()
    names = {id(module): name for name, module in whole.named_modules()}
    places = iter([names.get(id(module)) for module in registered])
    layers = dict(small.named_modules())

    def narrow(module: nn.Module) -> None:
        name = next(places, None)
        if name in layers and type(layers[name]) is type(module):
            _take_shapes(module, layers[name])

    wanted = small.state_dict()
    try:
        with _each_registered(narrow):
            drawn = build().state_dict()
    except Exception:  # code of the user, which may need its own widths for anything
        drawn = {}
    fitting = {
        name: value
        for name, value in drawn.items()
        if name in wanted and value.shape == wanted[name].shape
    }
    return fitting, [name for name in wanted if name not in fitting]


@contextmanager
def _each_registered(visit: Callable[[nn.Module], None]) -> Iterator[None]:
    """Calls `visit` with each module that becomes part of another one inside the block."""

    def hook(parent: nn.Module, name: str, module: nn.Module | None) -> None:
        if module is not None:
            visit(module)

    handle = register_module_module_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _take_shapes(module: nn.Module, like: nn.Module) -> None:
    """Give a layer the widths of another and draw its weights anew; nothing where they are the
    same, or where the layer does not know how to draw."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers("", False))}
    new = {**dict(like.named_parameters(recurse=False)), **dict(like.named_buffers("", False))}
    changed = [name for name in own if name in new and own[name].shape != new[name].shape]
    if reset is None or not changed:
        return
    for name in changed:
        value = own[name].new_empty(new[name].shape)  # in the plain layout: it orders the draw
        parameter = isinstance(own[name], nn.Parameter)
        setattr(module, name, nn.Parameter(value, own[name].requires_grad) if parameter else value)
    for name, size in vars(like).items():  # in_channels, num_features, ...
        if isinstance(size, int | tuple) and not isinstance(size, bool) and name in vars(module):
            setattr(module, name, size)
    reset()
