"""The networks of the table in docs/own-models.md, each with the side of its images."""

from torch import nn

from benchmarks.networks import NETWORKS

SIZES: dict[str, int] = NETWORKS
# More than 50 million weights, in layers that smaller networks here have, too; the command that
# makes the table proves these as it does the others.
LARGE = {
    *("torchvision:alexnet", "torchvision:vgg11_bn", "torchvision:wide_resnet50_2"),
    *("torchvision:vit_b_32", "timm:vgg11_bn"),
}


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
