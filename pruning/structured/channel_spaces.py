"""Channel spaces: which tensors of a network's torch.fx graph hold the same channels.

Every tensor in the graph lives in a channel space. A convolution or linear layer reads one space
and opens another; elementwise layers, pooling, batch-norm and depthwise convolutions pass their
space on; an addition joins two spaces into one; a flatten makes each channel a run of columns.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, fx, nn

from pruning.structured.channelwise import (
    PASSING_FUNCTIONS,
    PASSING_METHODS,
    PASSING_MODULES,
    is_depthwise,
    is_norm,
)
from pruning.user_error import UserError

_JOINING_FUNCTIONS: frozenset[object] = frozenset(
    {operator.add, operator.iadd, torch.add, operator.sub, torch.sub}
)
_JOINING_METHODS = frozenset({"add", "add_", "sub", "sub_"})
_MEAN_FUNCTIONS: frozenset[object] = frozenset({torch.mean})
_MEAN_METHODS = frozenset({"mean"})
_FLATTENING_FUNCTIONS: frozenset[object] = frozenset({torch.flatten, torch.reshape})
_FLATTENING_METHODS = frozenset({"flatten", "reshape", "view"})


@dataclass(frozen=True)
class Place:
    """Where a tensor lives: dimension 1 holds the channels of `space`, each as `columns`
    neighbours."""

    space: int
    columns: int = 1


@dataclass(frozen=True)
class LayerSpaces:
    """The spaces that a layer with weights reads and writes, and its input columns per channel."""

    module: nn.Module
    read: int
    columns: int
    written: int


class SpaceWalk(fx.Interpreter):
    """Runs the graph once on tensors without storage and notes the channel space of each of them.

    open_ends: spaces of the network's inputs and outputs.
    layers: what each layer with weights reads and writes, by name.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.open_ends: list[int] = []
        self.layers: dict[str, LayerSpaces] = {}
        self._parent: list[int] = []  # of each space: the one it was joined with, or itself
        self._places: dict[fx.Node, Place] = {}

    def find_root(self, space: int) -> int:
        """The space that stands for all those that a space was joined with."""
        while self._parent[space] != space:
            space = self._parent[space]
        return space

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if n.op == "output":
            self.open_ends += [
                self._places[node].space for node in n.all_input_nodes if node in self._places
            ]
        elif isinstance(result, Tensor):
            self._places[n] = self._find_place(n, result)
        elif isinstance(result, tuple | list) and any(isinstance(part, Tensor) for part in result):
            raise _refusal(n, "it returns several tensors")
        return result

    def _new_space(self) -> int:
        self._parent.append(len(self._parent))
        return self._parent[-1]

    def _find_place(self, node: fx.Node, out: Tensor) -> Place:
        """The place of a node's output; joins spaces and notes layers on the way."""
        if node.op == "placeholder":
            place = Place(self._new_space())
            self.open_ends.append(place.space)
            return place
        if node.op == "get_attr":
            raise _refusal(node, "it uses a tensor of the network outside of a layer")
        inputs = [source for source in node.all_input_nodes if source in self._places]
        if node.op == "call_module":
            module = self.fetch_attr(str(node.target))
            if isinstance(module, nn.Flatten):
                return self._flattened(node, inputs, out)
            if isinstance(module, PASSING_MODULES):
                return self._passing(node, inputs, out)
            return self._layer(node, module, inputs)
        if _calls(node, PASSING_FUNCTIONS, PASSING_METHODS):
            return self._passing(node, inputs, out)
        if _calls(node, _JOINING_FUNCTIONS, _JOINING_METHODS):
            return self._joined(node, inputs, out)
        if _calls(node, _MEAN_FUNCTIONS, _MEAN_METHODS):
            return self._averaged(node, inputs, out)
        if _calls(node, _FLATTENING_FUNCTIONS, _FLATTENING_METHODS):
            return self._flattened(node, inputs, out)
        raise _refusal(node, "what it does to channels is not known")

    def _passing(self, node: fx.Node, inputs: list[fx.Node], out: Tensor) -> Place:
        if len(inputs) != 1 or self.env[inputs[0]].shape[:2] != out.shape[:2]:
            raise _refusal(node, "it must keep the number of channels of one tensor")
        return self._places[inputs[0]]

    def _joined(self, node: fx.Node, inputs: list[fx.Node], out: Tensor) -> Place:
        places = [self._places[source] for source in inputs]
        operands = [a for a in node.args[:2] if isinstance(a, fx.Node)]
        if len(operands) != 2 or any(self.env[s].shape != out.shape for s in inputs):
            raise _refusal(node, "only two tensors of one shape can be added")
        if len({place.columns for place in places}) != 1:
            raise _refusal(node, "one operand was flattened and the other was not")
        first = self.find_root(places[0].space)
        for place in places[1:]:
            self._parent[self.find_root(place.space)] = first
        return places[0]

    def _averaged(self, node: fx.Node, inputs: list[fx.Node], out: Tensor) -> Place:
        dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        rank = self.env[inputs[0]].dim()
        chosen = [dims] if isinstance(dims, int) else dims
        if not isinstance(chosen, list | tuple) or not chosen:
            raise _refusal(node, "a mean must name the dimensions of the map")
        if any(not isinstance(dim, int) or dim % rank < 2 for dim in chosen):
            raise _refusal(node, "a mean must leave the batch and the channels alone")
        return self._passing(node, inputs, out)

    def _flattened(self, node: fx.Node, inputs: list[fx.Node], out: Tensor) -> Place:
        """[B, C, *map] to [B, C * prod(map)]; any other reshape is refused."""
        if len(inputs) != 1:
            raise _refusal(node, "a flatten takes one tensor")
        inner = self.env[inputs[0]]
        if out.dim() != 2 or len(out) != len(inner):
            raise _refusal(node, "the only reshape that keeps channels apart is flatten(1)")
        if node.op != "call_module" and node.target not in ("flatten", torch.flatten):
            sizes = node.kwargs.get("shape", node.args[1:])
            sizes = sizes[0] if isinstance(sizes, tuple) and len(sizes) == 1 else sizes
            if not isinstance(sizes, list | tuple) or sizes[-1] != -1:
                raise _refusal(node, "it fixes the number of columns; write flatten(1)")
        place = self._places[inputs[0]]
        return Place(place.space, place.columns * prod(inner.shape[2:]))

    def _layer(self, node: fx.Node, module: nn.Module, inputs: list[fx.Node]) -> Place:
        """The place behind a layer with weights: convolution, linear or batch-norm."""
        name = str(node.target)
        if len(inputs) != 1:
            raise _refusal(node, "a layer takes one tensor")
        place, inner = self._places[inputs[0]], self.env[inputs[0]]
        if name in self.layers:
            raise _refusal(node, "the layer is used twice; each use needs a layer of its own")
        after = self._written(node, module, place, inner.dim())
        self.layers[name] = LayerSpaces(module, place.space, place.columns, after.space)
        return after

    def _written(self, node: fx.Node, module: nn.Module, place: Place, rank: int) -> Place:
        """Where a layer writes that reads a tensor of `rank` dimensions at `place`."""
        if is_norm(module):
            return place
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            if module.groups != 1 and not is_depthwise(module):
                count = module.groups
                reason = f"only convolutions with groups=1 can be cut, but it has groups={count}"
                raise _refusal(node, reason)
            if place.columns != 1 or rank != module.weight.dim():
                raise _refusal(node, f"it must read a map with {module.weight.dim()} dimensions")
            return place if is_depthwise(module) else Place(self._new_space())
        if isinstance(module, nn.Linear):
            if rank != 2:
                reason = f"it must read [batch, columns], but reads {rank} dimensions; flatten(1)"
                raise _refusal(node, reason)
            return Place(self._new_space())
        raise _refusal(node, "what this layer does to channels is not known")


def _calls(node: fx.Node, functions: frozenset[object], methods: frozenset[str]) -> bool:
    """Whether a node calls one of these functions, or one of these methods of a tensor."""
    return node.target in functions or (node.op == "call_method" and node.target in methods)


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
