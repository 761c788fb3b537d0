"""Recalibration of batch-norm: its statistics estimated anew after pruning, weights untouched."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from trainables.training.precision import Precision, autocast


@torch.no_grad()
def recalibrate_batch_norm(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    precision: Precision,
    device: torch.device,
) -> None:
    """Estimate all batch-norm statistics anew as plain averages over the batches; those that
    instance-norm keeps, too."""
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
        with autocast(precision, device):
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
