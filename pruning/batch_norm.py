"""Recalibration of batch-norm: its statistics estimated anew after pruning, weights untouched."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate_batch_norm(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Estimate all batch-norm statistics anew as plain averages over the batches; those that
    instance-norm keeps, too. The model is in eval mode afterwards.

    Args:
        batches: (x [B, C, H, W], y) on the device of the model.
        autocast: makes the context of each forward pass; default: none of its own.
    """
    norms = [
        module for module in model.modules() if isinstance(module, nn.modules.batchnorm._NormBase)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    instance_norms = [
        norm for norm in norms if isinstance(norm, nn.modules.instancenorm._InstanceNorm)
    ]
    model.eval()
    for norm in norms:
        norm.train()
    for index, (x, _) in enumerate(batches):
        for norm in instance_norms:  # they know no plain average
            norm.momentum = 1 / (index + 1)
        with autocast():
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
