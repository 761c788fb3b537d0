"""Checks an exported network against the original: both must give the same outputs."""

import torch
from torch import nn

TOLERANCE = 1e-5  # of the difference between the outputs, as a part of their size
# Of random images; two, because an ONNX graph may accept only the batch size it was made with.
BATCH_SIZES = (1, 5)


def output_difference(
    original: nn.Module, exported: nn.Module, image: tuple[int, int, int]
) -> float:
    """The largest difference between the outputs of two networks on random images, as a part of the
    largest output.

    Outputs below 1 count as 1. NaN where only one network answers with NaN.
    """
    largest = 0.0
    with torch.inference_mode():
        for batch in BATCH_SIZES:
            images = torch.randn(batch, *image, generator=torch.Generator().manual_seed(batch))
            expected, outputs = original(images), exported(images)
            if torch.equal(expected.isnan(), outputs.isnan()):
                expected, outputs = expected.nan_to_num(), outputs.nan_to_num()
            size = max(1.0, float(expected.abs().max()))
            difference = float((expected - outputs).abs().max()) / size
            if difference != difference:  # NaN, which no later batch may hide
                return difference
            largest = max(largest, difference)
    return largest
