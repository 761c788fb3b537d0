"""Batch-norm over all ranks: mean and variance of a whole batch, of which each rank has a part (as
in Ioffe & Szegedy 2015, arXiv 1502.03167, on one device; Peng et al. 2018, arXiv 1711.07240).

torch's `SyncBatchNorm` is not used: it runs on GPUs only, waits for the device in each layer, and
replaces the modules of the network. Here the function that all batch-norm layers call is replaced
while a forward pass lasts; the network is left as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, autograd
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from trainables.training.ranks import Ranks


class SynchronisedNorm(TorchFunctionMode):
    """While it is active, batch-norm in train mode normalises by the statistics of all ranks.

    images: of each rank's part of the batch, in their order; all must be above 0.
    """

    def __init__(self, ranks: Ranks, images: Sequence[int]) -> None:
        super().__init__()
        self._ranks, self._images = ranks, images

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.batch_norm:
            return self._normalise(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalise(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """`torch.nn.functional.batch_norm`."""
        if not training:
            return functional.batch_norm(
                x, running_mean, running_var, weight, bias, False, momentum, eps
            )
        whole = sum(self._images)
        shares = [images / whole for images in self._images]
        total = x.numel() / x.shape[1] / shares[self._ranks.part.rank]
        normalised, mean, var = _Normalise.apply(x, weight, bias, eps, shares, total, self._ranks)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                unbiased = var * (total / (total - 1))
                running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        return normalised  # type: ignore[no-any-return]


class _Normalise(autograd.Function):
    """Normalisation by the mean and variance of all ranks' values, and its gradient.

    x [B, C, ...] in, normalised x, mean [C] and variance [C] (biased) out; the last two have no
    gradient. Computed in float32. shares: of each rank in the values of a channel, of which there
    are `total`.
    """

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        shares: Sequence[float],
        total: float,
        ranks: Ranks,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = x.detach().float()
        var, mean = torch.var_mean(values, _all_but_channels(x), correction=0)
        # Chan, Golub & LeVeque 1979: moments of parts put together, without cancellation.
        means, variances = ranks.stack(torch.stack([mean, var])).unbind(1)
        mean = _average(means, shares)
        var = _average(variances + (means - mean).square(), shares)
        context.save_for_backward(x, weight, mean, torch.rsqrt(var + eps))
        context.total, context.ranks, context.has_bias = total, ranks, bias is not None
        scale = None if weight is None else weight.float()
        shift = None if bias is None else bias.float()
        normalised = functional.batch_norm(values, mean, var, scale, shift, False, 0.0, eps)
        context.mark_non_differentiable(mean, var)
        return normalised.to(x.dtype), mean, var

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = context.saved_tensors
        gradient, places = gradients[0].float(), _all_but_channels(x)
        shape = [1, -1, *[1] * (x.dim() - 2)]
        centred = (x.detach().float() - mean.view(shape)) * inverse.view(shape)
        of_bias = gradient.sum(places)
        of_weight = (gradient * centred).sum(places)
        whole = torch.stack([of_bias, of_weight])
        context.ranks.add_up([whole])
        mean_gradient, mean_product = (whole / context.total).unbind(0)
        scale = inverse if weight is None else inverse * weight.float()
        of_x = gradient - mean_gradient.view(shape) - centred * mean_product.view(shape)
        of_x = (of_x * scale.view(shape)).to(x.dtype)
        return (
            of_x,
            None if weight is None else of_weight.to(weight.dtype),
            of_bias.to(weight.dtype if weight is not None else x.dtype)
            if context.has_bias
            else None,
            None,
            None,
            None,
            None,
        )


def _average(values: Tensor, shares: Sequence[float]) -> Tensor:
    """The average over the first dimension, in which there is one for each share."""
    if len(set(shares)) == 1:
        return values.mean(0)
    return torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum(0)


def _all_but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]
