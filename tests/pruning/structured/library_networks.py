"""The networks of the table in docs/own-models.md, each with the side of its images."""

from torch import nn

from benchmarks.networks import NETWORKS

SIZES: dict[str, int] = NETWORKS
# One of each family of layers and joints. The command that makes the table proves all networks.
OF_EVERY_KIND = (
    *("torchvision:mobilenet_v2", "torchvision:squeezenet1_1", "torchvision:densenet121"),
    *("torchvision:googlenet", "torchvision:shufflenet_v2_x0_5", "torchvision:regnet_x_400mf"),
    *("torchvision:mobilenet_v3_small", "torchvision:efficientnet_b0", "torchvision:convnext_tiny"),
    *("timm:resnet10t", "timm:repvgg_a0", "timm:dla34", "timm:skresnet18", "timm:seresnet18"),
    *("timm:hrnet_w18_small", "timm:nf_resnet26", "timm:mixer_s32_224"),
    "timm:vit_tiny_patch16_224",
)
SWIN = "tests.pruning.structured.library_networks:small_swin"


def small_swin(image: tuple[int, int, int], classes: int) -> nn.Module:
    """torchvision's Swin transformer with two narrow stages, in the second of which windows are
    shifted."""
    from torchvision.models import SwinTransformer

    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=24,
        depths=[1, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=classes,
    )
