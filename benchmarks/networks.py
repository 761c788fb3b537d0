"""What pruning makes of networks of torchvision and timm: the table of docs/own-models.md.

    python benchmarks/networks.py [--onnx] [NAME ...]

Prints a line of the table for each network, as it is with its initial weights:

* channels: 30 % of the channels of every group are removed by their L1 norm. The proof: in float64,
  with random weights, the smaller network must answer as the masked one does to 1e-9 of the largest
  logit; the error is the worst of three plans.
* prunable: the part of all parameters that methods without channels prune. zeros: whether of these
  90 %, the smallest, are zero afterwards in the tensors that the forward pass uses.
* MACs: of one image of the size that is tried, and whether `torch.utils.flop_counter` counts the
  same.
* connected: whether the whole network is found to be connected, and without its first layers not.
* ONNX (only with --onnx, half a minute each): the largest difference between the smaller network
  and what onnxruntime computes of its export, as a part of the largest logit.

Ten minutes in all without --onnx.
"""

import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.model_registry import build_model
from pruning.connectivity import is_connected
from pruning.cost import layer_costs, macs
from pruning.filters import l1_norms
from pruning.masks import all_kept, apply_masks, keep_best, prunable
from pruning.prunable_layers import select_weights
from pruning.real_zeros import count_zeros
from pruning.structured.channel_groups import analyse, find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.group_parts import Group
from pruning.structured.keep_plan import choose_channels, group_scores
from pruning.structured.shrink import shrink
from pruning.structured.structure_proof import prove, random_half
from pruning.structured.unit_scores import writers_of
from pruning.user_error import UserError
from pruning.weight_uses import plain_kernels, trace_weights

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


Image = tuple[int, int, int]


def build(name: str, side: int) -> tuple[nn.Module, Image]:
    """The network in eval mode, and the shape of its images."""
    torch.manual_seed(0)
    return build_model(name, image=(3, side, side), classes=10).eval(), (3, side, side)


def plan_by_l1(model: nn.Module, groups: list[Group], ratio: float) -> dict[str, Tensor]:
    """The plan that keeps the channels of largest L1 norm."""
    tensors = dict(model.named_parameters())
    norms = {
        layer: l1_norms(writer.filters(tensors[writer.part.tensor].detach()))
        for layer, writer in writers_of(groups).items()
    }
    return choose_channels(groups, group_scores(groups, norms), kept_widths(groups, ratio))


def judge_channels(name: str, side: int) -> str:
    """Removed weights, groups and the proof's error, or why no channel can be removed."""
    model, image = build(name, side)
    try:
        groups = find_groups(model, image)
        structure, plan = analyse(model, image), plan_by_l1(model, groups, RATIO)
        plans = [plan, random_half(structure), plan_by_l1(model, groups, 1.0)]
        error = max(prove(model, structure, each, image) for each in plans)
    except UserError as refusal:
        return f"no: {refusal} | "
    small = shrink(model, plan, image=image)
    left, whole = (sum(weight.numel() for weight in prunable(n).values()) for n in (small, model))
    return f"yes: {len(groups)} groups, {100 * (1 - left / whole):.1f} % | {error:.0e}"


def judge_zeros(name: str, side: int) -> str:
    """The share of parameters that is pruned, and whether zeros are where masks say."""
    model, image = build(name, side)
    try:
        names = select_weights(model, image).names
    except UserError as refusal:
        return f" | no: {refusal}"
    weights = prunable(model, only=names)
    masks = keep_best({name: weight.detach().abs() for name, weight in weights.items()}, 0.9)
    apply_masks(model, masks)
    zeros = count_zeros(model, masks, trace_weights(model, weights, image))
    total = sum(parameter.numel() for parameter in model.parameters())
    share = 100 * sum(mask.numel() for mask in masks.values()) / total
    removed = sum(int((~mask).sum()) for mask in masks.values())
    return f"{share:.1f} % | {'yes' if zeros.zeros >= removed else 'no'}"


@torch.no_grad()
def judge_macs(name: str, side: int) -> str:
    """Multiply-accumulates in G, and whether torch counts as many."""
    model, image = build(name, side)
    ours, counter = macs(layer_costs(model, image)), FlopCounterMode(display=False)
    model.requires_grad_(False)  # the counter expects a graph behind what needs a gradient
    with plain_kernels(), counter:
        model(torch.zeros(1, *image))
    theirs = counter.get_total_flops() // 2
    return f"{ours / 1e9:.4f}, {'equal' if ours == theirs else f'torch counts {theirs / 1e9:.4f}'}"


def judge_connected(name: str, side: int) -> str:
    """Whether the whole network counts as connected, and without its first layers does not."""
    model, image = build(name, side)
    masks = all_kept(model)
    if not is_connected(model, masks, image):
        return "no"
    for count, layer in enumerate(trace_weights(model, prunable(model), image).weights, 1):
        masks = {**masks, layer: torch.zeros_like(masks[layer])}
        if not is_connected(model, masks, image):
            return "yes" if count <= 2 else f"yes, without the first {count}"
        if count == 6:
            break
    return "no: also without its first layers"


@torch.no_grad()
def judge_onnx(name: str, side: int) -> str:
    """The difference between the smaller network and its export."""
    import onnxruntime

    model, image = build(name, side)
    try:
        plan = plan_by_l1(model, find_groups(model, image), RATIO)
    except UserError:
        return ""
    small, x = shrink(model, plan, image=image).eval(), torch.randn(2, *image)
    for parameter in small.parameters():
        if not parameter.any():  # a classifier that begins at 0 hides what is before it
            nn.init.normal_(parameter, std=0.1)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        torch.onnx.export(small, (x,), f"{folder}/n.onnx", dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(f"{folder}/n.onnx")
        (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})[:1]
    expected = small(x)
    return f"{float((torch.from_numpy(answer) - expected).abs().max() / expected.abs().max()):.0e}"


def describe(name: str, side: int, *, onnx: bool) -> str:
    """One line of the table."""
    judges = (judge_channels, judge_zeros, judge_macs, judge_connected)
    cells = [judge(name, side) for judge in judges]
    cells.append(judge_onnx(name, side) if onnx else "not run")
    return f"| `{name}` | {side} | {' | '.join(cells)} |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    names = [name for name in sys.argv[1:] if name != "--onnx"] or list(NETWORKS)
    print(
        "| network | tried on | channels removed | proof error | prunable | zeros right "
        "| MACs, G | connected right | ONNX |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in names:
        print(describe(name, NETWORKS.get(name, 64), onnx="--onnx" in sys.argv), flush=True)
