"""Channels removed by Torch-Pruning and by us, on the networks of `networks.py`.

    python benchmarks/side_by_side.py [NAME ...]

30 % of the channels by their L1 norm, with both tools, all layers but the classifier, and
Torch-Pruning used as its README shows (`MagnitudePruner`, one step). Prints for each network the
weights that each has removed, in percent of all parameters, and the error of the same proof for
both: in float64, with random weights, the smaller network must answer as the one whose removed
channels are zero; the error is a part of the largest logit. The last line counts the networks whose
error is below 1e-9, of those that are smaller. Half an hour on one core.
"""

import copy
import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch_pruning
from torch import Tensor, nn

from benchmarks.networks import NETWORKS, RATIO, Image, build, plan_by_l1
from pruning.structured.channel_groups import analyse
from pruning.structured.shrink import shrink
from pruning.structured.structure_proof import TOLERANCE, enliven, first_tensor, prove
from pruning.user_error import UserError


def count_removed(whole: nn.Module, small: nn.Module) -> float:
    """Parameters that are gone, in percent."""
    before, after = (sum(p.numel() for p in network.parameters()) for network in (whole, small))
    return 100 * (1 - after / before)


def ours(model: nn.Module, image: Image) -> tuple[float, float]:
    """The share that is removed and the error of the proof.

    Raises:
        UserError: the network can lose no channel.
    """
    structure = analyse(model, image)
    plan = plan_by_l1(model, list(structure.groups), RATIO)
    return count_removed(model, shrink(model, plan, image=image)), prove(
        model, structure, plan, image
    )


def theirs(model: nn.Module, image: Image) -> tuple[float, float]:
    """The same of Torch-Pruning, in float64 on the random weights of the proof.

    Raises:
        Exception: whatever it or the smaller network ends with.
    """
    generator = torch.Generator().manual_seed(0)
    lively = copy.deepcopy(model).double().eval()
    for name, tensor in [*lively.named_parameters(), *lively.named_buffers()]:
        enliven(name, tensor.data, generator)
    x = torch.randn(2, *image, dtype=torch.float64, generator=generator)
    masked = copy.deepcopy(lively)
    names = {module: name for name, module in lively.named_modules()}
    pruner = torch_pruning.pruner.MagnitudePruner(
        lively,
        x,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=RATIO,
        ignored_layers=[layer for layer in lively.modules() if is_classifier(layer)],
        # Attention must be told how many heads it has, as in its examples of transformers.
        num_heads={
            layer.qkv: layer.num_heads
            for layer in lively.modules()
            if hasattr(layer, "qkv") and hasattr(layer, "num_heads")
        },
    )
    left: dict[str, Tensor] = {}  # of each layer, which of its first channels it still has
    for group in pruner.step(interactive=True):
        for dependency, index in group:
            name = names.get(dependency.target.module)
            if name and pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                layer = masked.get_submodule(name)
                before = left.setdefault(name, torch.arange(len(channels_of(layer))))
                gone = torch.zeros(len(before), dtype=torch.bool)
                gone[list(index)] = True
                zero_outputs(layer, before[gone])
                left[name] = before[~gone]
        group.prune()
    for layer in lively.modules():  # as its example of timm's transformers does
        if hasattr(layer, "qkv") and hasattr(layer, "num_heads"):
            layer.num_heads = pruner.num_heads[layer.qkv]
            layer.head_dim = layer.qkv.out_features // (3 * layer.num_heads)
    with torch.no_grad():
        answer, expected = first_tensor(lively(x)), first_tensor(masked(x))
    error = float((answer - expected).abs().max() / expected.abs().max())
    return count_removed(model, lively), error


def is_classifier(layer: nn.Module) -> bool:
    return getattr(layer, "out_features", getattr(layer, "out_channels", 0)) == 10


def channels_of(layer: nn.Module) -> Tensor:
    """A tensor of a layer whose first dimension is the channels that it writes."""
    weight = getattr(layer, "weight", None)
    return weight if isinstance(weight, Tensor) else next(iter(layer.parameters()))


@torch.no_grad()
def zero_outputs(layer: nn.Module, index: Tensor) -> None:
    """Set to zero what a layer writes into some channels."""
    for tensor in (getattr(layer, "weight", None), getattr(layer, "bias", None)):
        if isinstance(tensor, Tensor):
            tensor[index] = 0


def attempt(remove: object, model: nn.Module, image: Image) -> tuple[str, float | None]:
    """The cells of one tool, and its error where the network got smaller."""
    try:
        removed, error = remove(copy.deepcopy(model), image)  # type: ignore[operator]
    except UserError as refusal:
        return f"refused: {str(refusal).partition(':')[0]} | ", None
    except Exception as failure:  # a library may end in any way
        text = (str(failure).strip().splitlines() or [""])[0]
        return f"{type(failure).__name__}: {text[:60]} | ", None
    return f"{removed:.1f} % | {error:.0e}", error if removed else None


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("| network | ours, removed | error | Torch-Pruning, removed | error |")
    print("|---|---|---|---|---|")
    errors: dict[str, list[float]] = {"ours": [], "Torch-Pruning": []}
    for network in sys.argv[1:] or list(NETWORKS):
        model, image = build(network, NETWORKS.get(network, 64))
        cells = []
        for tool, remove in (("ours", ours), ("Torch-Pruning", theirs)):
            text, error = attempt(remove, model, image)
            cells.append(text)
            errors[tool] += [] if error is None else [error]
        print(f"| `{network}` | {' | '.join(cells)} |", flush=True)
        gc.collect()  # Torch-Pruning's graphs are circles, which would add up to many GB
    for tool, found in errors.items():
        right = sum(error <= TOLERANCE for error in found)
        print(f"{tool}: {len(found)} networks smaller, {right} of them right")
