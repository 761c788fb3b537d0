"""Which networks of torchvision and timm the structured engine can make physically smaller.

    python benchmarks/networks.py [NAME ...]

Prints a line of the table in docs/own-models.md for each network: 30 % of the channels of every
group are removed by their L1 norm, and the smaller network must answer as the masked one does, to
1e-9 of the largest logit in float64. Initial weights, random batch-norm statistics, two random
images: none of it depends on training. Two minutes in all.
"""

import sys
from pathlib import Path

from pruning.user_error import UserError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from models.model_registry import build_model
from pruning.filters import l1_norms
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.keep_plan import choose_channels, group_scores
from pruning.structured.shrink import shrink, zeroed

RATIO = 0.3
NETWORKS = {  # name: side of the images it is tried on
    "torchvision:alexnet": 64,
    "torchvision:vgg11_bn": 64,
    "torchvision:resnet18": 64,
    "torchvision:resnet50": 64,
    "torchvision:wide_resnet50_2": 64,
    "torchvision:mobilenet_v2": 64,
    "torchvision:mnasnet0_5": 64,
    "torchvision:squeezenet1_1": 64,
    "torchvision:densenet121": 64,
    "torchvision:googlenet": 64,
    "torchvision:inception_v3": 96,
    "torchvision:shufflenet_v2_x0_5": 64,
    "torchvision:resnext50_32x4d": 64,
    "torchvision:regnet_x_400mf": 64,
    "torchvision:mobilenet_v3_small": 64,
    "torchvision:efficientnet_b0": 64,
    "torchvision:convnext_tiny": 64,
    "torchvision:vit_b_32": 224,
    "torchvision:swin_t": 64,
    "timm:resnet10t": 64,
    "timm:resnet18": 64,
    "timm:resnet26d": 64,
    "timm:darknet17": 64,
    "timm:gernet_s": 64,
    "timm:repvgg_a0": 64,
    "timm:mobilenetv2_050": 64,
    "timm:efficientnet_lite0": 64,
    "timm:xception41": 96,
    "timm:vgg11_bn": 64,
    "timm:dla34": 64,
    "timm:vovnet39a": 64,
    "timm:skresnet18": 64,
    "timm:seresnet18": 64,
    "timm:hrnet_w18_small": 64,
    "timm:nf_resnet26": 64,
    "timm:mixer_s32_224": 224,
    "timm:vit_tiny_patch16_224": 224,
}


def live_in(model: nn.Module) -> nn.Module:
    """The network in float64 and eval mode, with batch-norm values far from the initial ones, in
    which much hides."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.2)
    return model.eval().double()


@torch.no_grad()
def judge(name: str, side: int) -> str:
    """What the engine makes of a network: removed weights and groups, or why it refuses.

    Raises:
        AssertionError: the smaller network answers otherwise than the masked one, or just as the
            whole one.
    """
    image = (3, side, side)
    torch.manual_seed(0)
    model = live_in(build_model(name, image=image, classes=10))
    try:
        found = find_groups(model, image)
    except UserError as refusal:
        return f"no: {refusal}"
    filters = {
        layer: model.get_submodule(layer).weight for group in found for layer in group.producers
    }
    scores = group_scores(found, {layer: l1_norms(weight) for layer, weight in filters.items()})
    plan = choose_channels(found, scores, kept_widths(found, RATIO))
    small, masked = shrink(model, plan, image=image), zeroed(model, plan, image=image)
    x = torch.randn(2, *image, dtype=torch.float64)
    answer, expected, whole = small(x), masked(x), model(x)
    largest = expected.abs().max()
    assert (answer - expected).abs().max() <= 1e-9 * largest, (
        f"{name}: the smaller network answers otherwise"
    )
    assert (answer - whole).abs().max() > 1e-6 * largest, (
        f"{name}: nothing was removed that mattered"
    )
    left, all_ = (
        sum(weight.numel() for weight in prunable(net).values()) for net in (small, model)
    )
    return f"yes: {len(found)} groups, {100 * (1 - left / all_):.1f} % of the weights go"


def tell(name: str, side: int) -> str:
    """One line of the table."""
    return f"| `{name}` | {side} | {judge(name, side)} |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or list(NETWORKS)
    print("| network | tried on | can channels be removed? |\n|---|---|---|")
    for one in chosen:
        print(tell(one, NETWORKS.get(one, 64)), flush=True)
