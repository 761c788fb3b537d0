"""Masks held on the weights of a network while it trains."""

import torch
from torch import nn

from pruning.masks import Masks, prunable


class HeldMasks:
    """Masks held on the weights through training: one fused multiplication after every optimiser
    step."""

    def __init__(self, model: nn.Module, masks: Masks, *, leave_out_whole: bool = True) -> None:
        """
        Args:
            leave_out_whole: do not hold masks that keep everything; the host waits once to see
                which these are. It changes no number.
        """
        weights, names = prunable(model), list(masks)
        if leave_out_whole and names:
            whole = torch.stack([mask.all() for mask in masks.values()]).tolist()
            names = [name for name, keeps_all in zip(names, whole, strict=True) if not keeps_all]
        self._names = names
        self._parameters = [weights[name] for name in names]
        self.weights = [weight.data for weight in self._parameters]
        self.factors = [torch.empty_like(weights[name]).copy_(masks[name]) for name in names]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters on which masks are held."""
        return list(self._parameters)

    def moved(self) -> bool:
        """Whether a weight lies elsewhere than when this was made, as after `model.to(device)`."""
        return any(
            parameter.data_ptr() != weight.data_ptr()
            for parameter, weight in zip(self._parameters, self.weights, strict=True)
        )

    @torch.no_grad()
    def replace(self, masks: Masks) -> None:
        """Hold other masks on the same weights, in the memory of the present ones."""
        if self.factors:
            torch._foreach_copy_(self.factors, [masks[name] for name in self._names])

    @torch.no_grad()
    def apply(self) -> None:
        """Set the masked weights to zero."""
        if self.weights:
            torch._foreach_mul_(self.weights, self.factors)

    @torch.no_grad()
    def apply_to_gradients(self) -> None:
        """Set the gradients of masked weights to zero."""
        pairs = [
            (weight.grad, factor)
            for weight, factor in zip(self._parameters, self.factors, strict=True)
            if weight.grad is not None
        ]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [factor for _, factor in pairs])
