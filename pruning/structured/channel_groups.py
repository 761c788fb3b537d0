"""Channel groups: which layers of a network share one set of channels.

All layers whose tensors live in one channel space (see `channel_spaces`) lose the same channels, so
a space is pruned as a whole: a group.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import fx, nn

from pruning.structured.channel_spaces import SpaceWalk
from pruning.structured.channelwise import PASSING_MODULES, is_channelwise, is_depthwise, is_norm
from pruning.user_error import UserError


@dataclass(frozen=True)
class Group:
    """Layers that share `channels` channels, so that one keep-index serves them all. Layers are
    named as modules.

    name: the first producer. producers: convolutions and linear layers with one output per channel.
    batch_norms, depthwise: those on the group's activations. consumers: layers that read the
    channels, each with its number of input columns per channel (1, or the height x width that a
    flatten spread the channel over).
    """

    name: str
    channels: int
    producers: tuple[str, ...]
    batch_norms: tuple[str, ...]
    consumers: tuple[tuple[str, int], ...]
    depthwise: tuple[str, ...] = ()

    @property
    def residual(self) -> bool:
        """Whether several layers write into the group, which is so for the residual stream and
        nothing else."""
        return len(self.producers) > 1


def find_groups(model: nn.Module, image: tuple[int, int, int]) -> list[Group]:
    """The network's channel groups in the order of the forward pass; its inputs and outputs belong
    to none.

    The network is traced on a copy without storage: nothing is computed, its weights and modes stay
    as they are.

    Args:
        image: (channels, height, width) of one input.

    Raises:
        UserError: the forward pass depends on data, does not take such an image, or has an
            operation or a layer that mixes channels in another way than convolution, linear layer,
            batch-norm, addition and flatten.
    """
    _refuse_shared_weights(model)
    skeleton = _without_storage(model).eval()
    walk = SpaceWalk(_trace(skeleton))
    like = next(skeleton.parameters(), torch.empty(0, device="meta"))
    try:
        # Two images: with one, a reshape over the batch would look like one that leaves it alone.
        walk.run(torch.empty(2, *image, device="meta", dtype=like.dtype))
    except UserError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"the network cannot run on images of shape {image}: {_brief(error)}"
        ) from error
    return _group_layers(walk)


def _trace(skeleton: nn.Module) -> fx.GraphModule:
    try:
        return fx.GraphModule(skeleton, _Tracer().trace(skeleton))
    except (ValueError, TypeError, RuntimeError, NameError) as error:
        # What tracing raises on control flow.
        raise UserError(
            f"the network's forward pass cannot be traced by torch.fx: {_brief(error)}"
        ) from error


def _group_layers(walk: SpaceWalk) -> list[Group]:
    """The groups of a graph that was run: the spaces that layers write, except the network's inputs
    and outputs."""
    ends = {walk.find_root(space) for space in walk.open_ends}
    written = {
        name: walk.find_root(layer.written)
        for name, layer in walk.layers.items()
        if not is_channelwise(layer.module) and walk.find_root(layer.written) not in ends
    }
    return [
        _make_group(walk, space, tuple(name for name, after in written.items() if after == space))
        for space in dict.fromkeys(written.values())
    ]


def _make_group(walk: SpaceWalk, space: int, producers: tuple[str, ...]) -> Group:
    """The group of a space, with the layers that read it."""
    reading = {
        name: layer for name, layer in walk.layers.items() if walk.find_root(layer.read) == space
    }
    return Group(
        name=producers[0],
        channels=len(walk.fetch_attr(producers[0]).weight),
        producers=producers,
        batch_norms=tuple(name for name, layer in reading.items() if is_norm(layer.module)),
        depthwise=tuple(name for name, layer in reading.items() if is_depthwise(layer.module)),
        consumers=tuple(
            (name, layer.columns)
            for name, layer in reading.items()
            if not is_channelwise(layer.module)
        ),
    )


class _Tracer(fx.Tracer):
    """Takes a batch-norm with its activation, as in timm's networks, for one layer."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        parts = all(isinstance(part, PASSING_MODULES) for part in m.children())
        return (is_norm(m) and parts) or super().is_leaf_module(m, module_qualified_name)


def _without_storage(model: nn.Module) -> nn.Module:
    """A copy on the meta device; the weights themselves are never copied."""
    twins: dict[int, object] = {}
    for parameter in model.parameters():
        twins[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), parameter.requires_grad
        )
    for buffer in model.buffers():
        twins[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, twins)


def _refuse_shared_weights(model: nn.Module) -> None:
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            raise UserError(
                f"'{name}' and '{seen[id(parameter)]}' are one tensor; each needs its own"
            )
        seen[id(parameter)] = name


def _brief(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
