"""Zeros counted in the tensors that a forward pass uses, and compared with the masks and with what
the method promises: a row never rests on the masks alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from pruning.masks import Masks, kept_count, prunable
from pruning.nm_pattern import NM, fits_pattern
from pruning.weight_uses import ForwardUses

if TYPE_CHECKING:
    from pruning.method import Method

# Kept weights that are zero, as a fraction of the prunable ones, above which a row says so. Some
# are zero by chance or for a while: initialised so, grown and not trained yet, behind a dead unit.
WORTH_A_NOTE = 0.001


class WrongZerosError(RuntimeError):
    """The zeros of a network are not those that its masks or its method say."""


@dataclass(frozen=True)
class Zeros:
    """What was counted. weights: prunable ones, as many as there are now. zeros: those of them that
    are zero. kept: zeros among the weights that the masks keep, by name, where there are any.
    """

    weights: int
    zeros: int
    kept: Mapping[str, int]

    @property
    def notes(self) -> list[str]:
        """A sentence where more kept weights are zero than chance explains."""
        extra = sum(self.kept.values())
        if extra <= WORTH_A_NOTE * self.weights:
            return []
        most = max(self.kept, key=lambda name: self.kept[name])
        return [
            f"{extra} of the kept weights are zero, too, most in {most} ({self.kept[most]}): "
            f"{self.zeros / self.weights:.4f} of the prunable weights are zero in all"
        ]


@torch.no_grad()
def count_zeros(model: nn.Module, masks: Masks, uses: ForwardUses) -> Zeros:
    """Count the zeros of the weights that have masks.

    Args:
        uses: how the forward pass of this model uses them, as it is now.

    Raises:
        WrongZerosError: a masked weight is not zero, or the forward pass does not use the tensor.
    """
    weights, zeros, kept = prunable(model, only=masks), 0, {}
    for name, mask in masks.items():
        if name not in weights or name not in uses.weights or not uses.weights[name].runs:
            raise WrongZerosError(
                f"layer '{name}': its mask removes {int((~mask).sum())} of {mask.numel()} weights, "
                "but the forward pass does not use this tensor"
            )
        zero = weights[name] == 0
        if wrong := int((~mask & ~zero).sum()):
            raise WrongZerosError(
                f"layer '{name}': {wrong} of its {int((~mask).sum())} masked weights are not zero"
            )
        zeros += int(zero.sum())
        if extra := int((zero & mask).sum()):
            kept[name] = extra
    return Zeros(sum(mask.numel() for mask in masks.values()), zeros, kept)


def check_promise(
    method: Method, masks: Masks, sparsity: float | None, fixed: Mapping[str, float]
) -> None:
    """Compare the masks of a measured level with what the method promises: a sparsity to the
    weight, or n of every m.

    Args:
        sparsity: the requested one; None where the method's own rule decides.
        fixed: sparsities of layers that the study sets apart.

    Raises:
        WrongZerosError: they differ.
    """
    if method.cuts_channels:
        return  # what is left has no zeros to promise
    if nm := getattr(method, "nm", None):
        _check_pattern(masks, nm, fixed)
        return
    for name, own in fixed.items():
        _check_count([name], masks, own, f"layer '{name}'")
    if sparsity is not None and method.keeps_exact_count:
        names = [name for name in masks if name not in fixed]
        _check_count(names, masks, sparsity, "the network")


def _check_count(names: list[str], masks: Masks, sparsity: float, where: str) -> None:
    total = sum(masks[name].numel() for name in names)
    kept, promised = sum(int(masks[name].sum()) for name in names), kept_count(sparsity, total)
    if kept != promised:
        densest = max(names, key=lambda name: int(masks[name].sum()))
        raise WrongZerosError(
            f"{where}: at sparsity {sparsity:g} {promised} of {total} weights must be kept, but "
            f"{kept} are, most in '{densest}' ({int(masks[densest].sum())} of "
            f"{masks[densest].numel()})"
        )


def _check_pattern(masks: Masks, nm: NM, fixed: Mapping[str, float]) -> None:
    """Pass if every run of m input channels keeps n, in each layer that the pattern fits."""
    n, m = nm
    for name, mask in masks.items():
        if name in fixed or not fits_pattern(mask, m):
            continue
        runs = mask.movedim(1, -1).reshape(-1, m).sum(1)
        if wrong := int((runs != n).sum()):
            raise WrongZerosError(
                f"layer '{name}': {wrong} of {len(runs)} runs of {m} input channels do not keep "
                f"{n}, as {n}:{m} promises"
            )
