"""Ranks of feature maps: how much information a channel's activations carry, on average over images
(HRank, Lin et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pruning.eval_mode import exact_eval_mode
from pruning.structured.channel_groups import Group

_MODULES = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh)
_FUNCTIONS = frozenset(
    getattr(functional, name)
    for name in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "tanh")
) | {torch.relu, torch.relu_, torch.tanh}
_METHODS = frozenset({"relu", "relu_", "tanh"})


def mean_ranks(
    model: nn.Module, groups: Sequence[Group], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Mean rank of each channel's maps over images, in eval mode (Lin et al. 2020, arXiv
    2002.10179).

    A map is what an activation function (ReLU as a rule) returns for one image and channel,
    [height, width], before any pooling. A residual group has several activations, after the stem
    and after each addition; their ranks are averaged. The output of a linear layer is a 1 x 1 map,
    so that its rank is 1 where the neuron is active and else 0.

    The rank is `torch.linalg.matrix_rank`'s with its default tolerance, on the CPU whatever the
    device: batched decompositions of small matrices are no faster elsewhere, and a map then has one
    rank everywhere.

    Args:
        groups: of the model, see `channel_groups.find_groups`.
        batches: images [B, C, H, W] on the model's device.

    Returns:
        By group, float64 [channels]; sums of whole numbers over one count, so that equal means are
        equal exactly.

    Raises:
        ValueError: no image, or a group whose channels pass through no activation function.
    """
    images = 0
    with exact_eval_mode(model):
        # Inside the block, as tracing fixes whether functional dropout is active.
        walk = _Walk(fx.symbolic_trace(model), groups)
        for x in batches:
            walk.run(x)
            images += len(x)
    if not images:
        raise ValueError("ranks need at least 1 image, but got 0")
    for group in groups:
        if not walk.maps[group.name]:
            raise ValueError(
                f"ranks are those of activations, but no activation function follows '{group.name}'"
            )
    return {group.name: walk.sums[group.name].double() / walk.maps[group.name] for group in groups}


class _Walk(fx.Interpreter):
    """Runs the network and adds up, for each group, the ranks of its activations' maps.

    sums: by group, the sum of ranks of each channel.
    maps: by group, how many maps each channel had so far, of all activations and images.
    """

    def __init__(self, graph: fx.GraphModule, groups: Sequence[Group]) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.channels = {group.name: group.channels for group in groups}
        self.written = {
            layer: group.name for group in groups for layer in (*group.producers, *group.depthwise)
        }
        self.home: dict[fx.Node, str] = {}  # the group whose channels a node's output holds
        self.sums = {group.name: torch.zeros(group.channels, dtype=torch.int64) for group in groups}
        self.maps = dict.fromkeys(self.channels, 0)

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        module = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            name = self.written.get(str(n.target))
        else:
            # Everything else keeps channels as they are, and an addition joins only what is in one
            # group.
            homes = (self.home[source] for source in n.all_input_nodes if source in self.home)
            name = next(homes, None)
        if name and isinstance(result, Tensor):
            self.home[n] = name
            function = n.op == "call_function" and n.target in _FUNCTIONS
            method = n.op == "call_method" and n.target in _METHODS
            if isinstance(module, _MODULES) or function or method:
                self._add(name, result)
        return result

    def _add(self, name: str, activation: Tensor) -> None:
        # A flattened map is a row.
        size = activation.shape[2:] if activation.dim() == 4 else (1, -1)
        maps = activation.reshape(len(activation), self.channels[name], *size)
        self.sums[name] += torch.linalg.matrix_rank(maps.float().cpu()).sum(0)
        self.maps[name] += len(activation)


def lexicographic(first: Tensor, second: Tensor) -> Tensor:
    """Scores that order by `first` and, where it ties, by `second`; where both tie, the lower index
    scores higher.

    Args:
        first, second: [n].

    Returns:
        0 ... n - 1 in some order, [n].
    """
    best = torch.argsort(second, descending=True, stable=True)
    best = best[torch.argsort(first[best], descending=True, stable=True)]
    scores = torch.empty(len(best))
    scores[best] = torch.arange(len(best) - 1, -1, -1, dtype=scores.dtype)
    return scores
