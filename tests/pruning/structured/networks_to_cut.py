"""Networks, plans to cut them, and counts of what is left, for tests of structured pruning."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths, nearest_ratio, sparsity_of_widths
from pruning.structured.group_parts import Group

NETWORKS = {
    "resnet18": (3, 16, 16),
    "resnet20": (3, 16, 16),
    "resnet56": (3, 16, 16),
    "vgg16": (3, 32, 32),
    "simple_cnn": (1, 14, 14),
    "mlp": (1, 8, 8),
}


def parameter_sparsity(
    model: nn.Module, plan: dict[str, Tensor], image: tuple[int, int, int]
) -> float:
    """Fraction of the prunable weights that a plan takes away, counted by its widths."""
    kept = {name: len(index) for name, index in plan.items()}
    return sparsity_of_widths(model, find_groups(model, image), kept)


def ratio_near(
    model: nn.Module, groups: Sequence[Group], sparsity: float, *, round_to: int = 1
) -> float:
    """The channel ratio of all groups that comes nearest to a sparsity."""

    def reached(ratio: float) -> float:
        return sparsity_of_widths(model, groups, kept_widths(groups, ratio, round_to=round_to))

    return nearest_ratio(reached, sparsity)


def lived_in(name: str, seed: int = 0) -> nn.Module:
    """A network in eval mode whose batch-norm affine and statistics are far from their initial
    values."""
    torch.manual_seed(seed)
    model = build_model(name, image=NETWORKS[name], classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            for name, buffer in module.named_buffers():
                if name == "running_mean":
                    nn.init.normal_(buffer, std=0.5)
                elif name == "running_var":
                    nn.init.uniform_(buffer, 0.5, 1.5)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.5)
    return model.eval()


def random_plan(found: list[Group], seed: int) -> dict[str, Tensor]:
    """A random number of random channels of every group."""
    generator = torch.Generator().manual_seed(seed)
    plan = {}
    for group in found:
        count = int(torch.randint(1, group.channels + 1, (1,), generator=generator))
        plan[group.name] = torch.randperm(group.channels, generator=generator)[:count].sort().values
    return plan


def layers_of(group: Group, model: nn.Module) -> dict[str, set[tuple[str, int]]]:
    """The layers that write a group's channels, norm them, convolve each alone, and read them, with
    the number of entries for each channel."""
    kinds: dict[str, set[tuple[str, int]]] = {"writes": set(), "norm": set(), "depthwise": set()}
    kinds["reads"] = set()
    for part in group.parts:
        entry = part.layer, int((part.unit == 0).sum())
        norm = isinstance(model.get_submodule(part.layer), nn.modules.batchnorm._NormBase)
        if part.role in kinds:
            kinds[part.role].add(entry)
        elif norm and part.tensor.endswith(".weight"):
            kinds["norm"].add(entry)
    return kinds


def weights_of(model: nn.Module) -> int:
    return sum(weight.numel() for weight in prunable(model).values())
