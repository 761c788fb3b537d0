"""Channel groups: which layers of a network share one set of channels, found on its torch.fx graph.

Every tensor in the graph lives in a channel space. A convolution or linear layer reads one space
and opens another; elementwise layers, pooling, batch-norm and depthwise convolutions pass their
space on; an addition joins two spaces into one; a flatten makes each channel a run of columns. All
layers of one space lose the same channels, so a space is pruned as a whole: a group.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, fx, nn

from pruning.structured.channelwise import (
    PASSING_FUNCTIONS,
    PASSING_METHODS,
    PASSING_MODULES,
    is_channelwise,
    is_depthwise,
    is_norm,
)
from pruning.user_error import UserError

_JOINING_FUNCTIONS: frozenset[object] = frozenset(
    {operator.add, operator.iadd, torch.add, operator.sub, torch.sub}
)
_JOINING_METHODS = frozenset({"add", "add_", "sub", "sub_"})
_RESHAPING = frozenset({"flatten", "reshape", "view"})


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


def groups(model: nn.Module, image: tuple[int, int, int]) -> list[Group]:
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
    try:
        graph = fx.GraphModule(skeleton, _Tracer().trace(skeleton))
    except (
        ValueError,
        TypeError,
        RuntimeError,
        NameError,
    ) as error:  # what tracing raises on control flow
        raise UserError(
            f"the network's forward pass cannot be traced by torch.fx: {_brief(error)}"
        ) from error
    like = next(skeleton.parameters(), torch.empty(0, device="meta"))
    walk = _Walk(graph)
    try:
        # Two images: with one, a reshape over the batch would look like one that leaves it alone.
        walk.run(torch.empty(2, *image, device="meta", dtype=like.dtype))
    except UserError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"the network cannot run on images of shape {image}: {_brief(error)}"
        ) from error
    return walk.groups()


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


@dataclass(frozen=True)
class _Place:
    """Where a tensor lives: dimension 1 holds the channels of `space`, each as `columns`
    neighbours."""

    space: int
    columns: int = 1


class _Tracer(fx.Tracer):
    """Takes a batch-norm with its activation, as in timm's networks, for one layer."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        parts = all(isinstance(part, PASSING_MODULES) for part in m.children())
        return (is_norm(m) and parts) or super().is_leaf_module(m, module_qualified_name)


class _Walk(fx.Interpreter):
    """Runs the graph once on storage-free tensors and notes for each one the channel space it lives
    in."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.parent: list[int] = []
        self.open_ends: list[int] = []  # spaces of the network's inputs and outputs
        self.places: dict[fx.Node, _Place] = {}
        self.layers: dict[
            str, tuple[nn.Module, int, int, int]
        ] = {}  # module, space read, columns, space written

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if n.op == "output":
            self.open_ends += [
                self.places[node].space for node in n.all_input_nodes if node in self.places
            ]
        elif isinstance(result, Tensor):
            self.places[n] = self._place(n, result)
        elif isinstance(result, tuple | list) and any(isinstance(part, Tensor) for part in result):
            raise _refusal(n, "it returns several tensors")
        return result

    def groups(self) -> list[Group]:
        """The groups of the graph that was run."""
        ends = {self._root(space) for space in self.open_ends}
        written = {
            name: self._root(after)
            for name, (module, _, _, after) in self.layers.items()
            if not is_channelwise(module) and self._root(after) not in ends
        }
        found = []
        for space in dict.fromkeys(written.values()):
            producers = tuple(name for name, after in written.items() if after == space)
            touching = [
                (n, m, cols)
                for n, (m, before, cols, _) in self.layers.items()
                if self._root(before) == space
            ]
            found.append(
                Group(
                    name=producers[0],
                    channels=len(self.fetch_attr(producers[0]).weight),
                    producers=producers,
                    batch_norms=tuple(name for name, module, _ in touching if is_norm(module)),
                    depthwise=tuple(name for name, module, _ in touching if is_depthwise(module)),
                    consumers=tuple(
                        (name, cols)
                        for name, module, cols in touching
                        if not is_channelwise(module)
                    ),
                )
            )
        return found

    def _new_space(self) -> int:
        self.parent.append(len(self.parent))
        return self.parent[-1]

    def _root(self, space: int) -> int:
        while self.parent[space] != space:
            space = self.parent[space]
        return space

    def _place(self, node: fx.Node, out: Tensor) -> _Place:
        """The place of a node's output; joins spaces and notes layers on the way."""
        if node.op == "placeholder":
            place = _Place(self._new_space())
            self.open_ends.append(place.space)
            return place
        if node.op == "get_attr":
            raise _refusal(node, "it uses a tensor of the network outside of a layer")
        sources = [source for source in node.all_input_nodes if source in self.places]
        if node.op == "call_module":
            module = self.fetch_attr(str(node.target))
            if isinstance(module, nn.Flatten):
                return self._flatten(node, sources, out)
            if isinstance(module, PASSING_MODULES):
                return self._passing(node, sources, out)
            return self._layer(node, module, sources, out)
        if node.target in PASSING_FUNCTIONS or (
            node.op == "call_method" and node.target in PASSING_METHODS
        ):
            return self._passing(node, sources, out)
        if node.target in _JOINING_FUNCTIONS or (
            node.op == "call_method" and node.target in _JOINING_METHODS
        ):
            return self._joining(node, sources, out)
        if node.target is torch.mean or (node.op == "call_method" and node.target == "mean"):
            return self._mean(node, sources, out)
        if node.target in (torch.flatten, torch.reshape) or (
            node.op == "call_method" and node.target in _RESHAPING
        ):
            return self._flatten(node, sources, out)
        raise _refusal(node, "what it does to channels is not known")

    def _passing(self, node: fx.Node, sources: list[fx.Node], out: Tensor) -> _Place:
        if len(sources) != 1 or self.env[sources[0]].shape[:2] != out.shape[:2]:
            raise _refusal(node, "it must keep the number of channels of one tensor")
        return self.places[sources[0]]

    def _joining(self, node: fx.Node, sources: list[fx.Node], out: Tensor) -> _Place:
        places = [self.places[source] for source in sources]
        operands = [a for a in node.args[:2] if isinstance(a, fx.Node)]
        if len(operands) != 2 or any(self.env[s].shape != out.shape for s in sources):
            raise _refusal(node, "only two tensors of one shape can be added")
        if len({place.columns for place in places}) != 1:
            raise _refusal(node, "one operand was flattened and the other was not")
        first = self._root(places[0].space)
        for place in places[1:]:
            self.parent[self._root(place.space)] = first
        return places[0]

    def _mean(self, node: fx.Node, sources: list[fx.Node], out: Tensor) -> _Place:
        dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        rank = self.env[sources[0]].dim()
        chosen = [dims] if isinstance(dims, int) else dims
        if not isinstance(chosen, list | tuple) or not chosen:
            raise _refusal(node, "a mean must name the dimensions of the map")
        if any(not isinstance(dim, int) or dim % rank < 2 for dim in chosen):
            raise _refusal(node, "a mean must leave the batch and the channels alone")
        return self._passing(node, sources, out)

    def _flatten(self, node: fx.Node, sources: list[fx.Node], out: Tensor) -> _Place:
        """[B, C, *map] to [B, C * prod(map)]; any other reshape is refused."""
        if len(sources) != 1:
            raise _refusal(node, "a flatten takes one tensor")
        inner = self.env[sources[0]]
        if out.dim() != 2 or len(out) != len(inner):
            raise _refusal(node, "the only reshape that keeps channels apart is flatten(1)")
        if node.op != "call_module" and node.target not in ("flatten", torch.flatten):
            sizes = node.kwargs.get("shape", node.args[1:])
            sizes = sizes[0] if isinstance(sizes, tuple) and len(sizes) == 1 else sizes
            if not isinstance(sizes, list | tuple) or sizes[-1] != -1:
                raise _refusal(node, "it fixes the number of columns; write flatten(1)")
        place = self.places[sources[0]]
        return _Place(place.space, place.columns * prod(inner.shape[2:]))

    def _layer(
        self, node: fx.Node, module: nn.Module, sources: list[fx.Node], out: Tensor
    ) -> _Place:
        """A layer with weights: convolution, linear or batch-norm."""
        name = str(node.target)
        if len(sources) != 1:
            raise _refusal(node, "a layer takes one tensor")
        place, inner = self.places[sources[0]], self.env[sources[0]]
        if name in self.layers:
            raise _refusal(node, "the layer is used twice; each use needs a layer of its own")
        if is_norm(module):
            after = place
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            if module.groups != 1 and not is_depthwise(module):
                raise _refusal(
                    node,
                    f"only convolutions with groups=1 can be cut, but it has groups={module.groups}",
                )
            if place.columns != 1 or inner.dim() != module.weight.dim():
                raise _refusal(node, f"it must read a map with {module.weight.dim()} dimensions")
            after = place if is_depthwise(module) else _Place(self._new_space())
        elif isinstance(module, nn.Linear):
            if inner.dim() != 2:
                raise _refusal(
                    node,
                    f"it must read [batch, columns], but reads {inner.dim()} dimensions; flatten(1)",
                )
            after = _Place(self._new_space())
        else:
            raise _refusal(node, "what this layer does to channels is not known")
        self.layers[name] = (module, place.space, place.columns, after.space)
        return after


def _refusal(node: fx.Node, reason: str) -> UserError:
    if node.op == "call_module":
        module = node.graph.owning_module
        kind = (
            type(module.get_submodule(str(node.target))).__name__ if module is not None else "layer"
        )
        return UserError(f"cannot prune channels through layer '{node.target}' ({kind}): {reason}")
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    return UserError(f"cannot prune channels through node '{node.name}' ({name}): {reason}")
