"""torchvision's families with attention or LayerNorm, small enough for images of 8 x 8: functions
(image, classes)."""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models import ConvNeXt, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.ops import Conv2dNormActivation

from tests.networks.architectures import Image


def _in_colour(image: Image, network: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(image[0], 3, 1), network)


def vit(image: Image, classes: int) -> nn.Module:
    """A vision transformer: packed attention projections, learned positions and a class token."""
    network = VisionTransformer(
        image_size=image[1],
        patch_size=2,
        num_layers=2,
        num_heads=4,
        hidden_dim=32,
        mlp_dim=64,
        num_classes=classes,
    )
    nn.init.normal_(network.heads[0].weight, std=0.1)  # torchvision's begin at 0
    return _in_colour(image, network)


def swin(image: Image, classes: int) -> nn.Module:
    """Shifted windows: attention as functions on a module's weights, patches that are merged."""
    network = SwinTransformer(
        patch_size=[1, 1],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=classes,
    )
    return _in_colour(image, network)


def convnext(image: Image, classes: int) -> nn.Module:
    """Depthwise convolutions, LayerNorm over channels and layer scale."""
    blocks = [CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)]
    network = ConvNeXt(blocks, num_classes=classes)
    norm = partial(nn.BatchNorm2d, eps=1e-5)
    network.features[0] = Conv2dNormActivation(
        3, 16, kernel_size=2, stride=2, padding=0, norm_layer=norm, activation_layer=None
    )
    return _in_colour(image, network)
