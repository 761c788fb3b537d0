"""The proof of a cut: the smaller network computes what the masked one does."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pruning.double_precision import DoublePrecision
from pruning.structured.channel_cuts import cut, zero
from pruning.structured.channel_groups import analyse
from pruning.structured.group_parts import Structure
from pruning.structured.keep_plan import KeepPlan
from pruning.structured.shrink import shrink
from pruning.user_error import UserError

TOLERANCE = 1e-9  # of the largest logit, in float64
# A larger difference, up to this, may be the rounding of a deep network that amplifies it: at most
# so many times what a nudge of the images in their last digits changes.
ROUNDING_TOLERANCE = 1e-6
NUDGE, NUDGES = 1e-15, 100


@torch.no_grad()
def proof_error(
    model: nn.Module, structure: Structure, keep: KeepPlan, image: tuple[int, int, int]
) -> float:
    """Largest difference between smaller and masked network, as a part of the largest logit.

    In float64 and eval mode, on two random images, on copies with random weights and statistics:
    what is proven is the structure, and no value at its initial 0 or 1 can hide a fault.
    """
    lively, x = make_lively(model, image)
    small = copy.deepcopy(lively)
    cut(small, structure, keep)
    answer = _answer(small, x)
    del small
    zero(lively, structure, keep)
    return _compare(answer, _answer(lively, x))


@torch.no_grad()
def rounding_error(
    model: nn.Module, structure: Structure, keep: KeepPlan, image: tuple[int, int, int]
) -> float:
    """What becomes of rounding in the masked network of the proof: the largest change of a logit,
    as a part of the largest logit, where the images change by `NUDGE` of themselves."""
    lively, x = make_lively(model, image)
    zero(lively, structure, keep)
    return _compare(_answer(lively, x * (1 + NUDGE)), _answer(lively, x))


@torch.no_grad()
def make_lively(model: nn.Module, image: tuple[int, int, int]) -> tuple[nn.Module, Tensor]:
    """A copy of a network in float64 and eval mode, on the CPU, with random weights and statistics;
    and two random images."""
    generator = torch.Generator().manual_seed(0)
    lively = copy.deepcopy(model).cpu().double().eval()
    for name, tensor in [*lively.named_parameters(), *lively.named_buffers()]:
        enliven(name, tensor, generator)
    x = torch.randn(2, *image, dtype=torch.float64, generator=generator)
    normalise(lively, x)
    return lively, x


def _answer(model: nn.Module, x: Tensor) -> Tensor:
    with DoublePrecision():
        return first_tensor(model(x))


def _compare(answer: Tensor, expected: Tensor) -> float:
    return float((answer - expected).abs().max() / expected.abs().max())


def prove(
    model: nn.Module, structure: Structure, keep: KeepPlan, image: tuple[int, int, int]
) -> float:
    """The proof's error.

    Raises:
        UserError: it is above the tolerance and more than the network's own rounding, or the
            smaller network cannot run.
    """
    try:
        error = proof_error(model, structure, keep, image)
        if TOLERANCE < error <= ROUNDING_TOLERANCE and error <= NUDGES * rounding_error(
            model, structure, keep, image
        ):
            return error
    except (ValueError, TypeError, RuntimeError, AssertionError) as failure:
        text = (str(failure).strip().splitlines() or [type(failure).__name__])[0]
        raise UserError(f"the network cannot run without its removed channels: {text}") from failure
    if not error <= TOLERANCE:
        raise UserError(
            f"the smaller network must answer as the masked one to {TOLERANCE:g}, "
            f"but they differ by {error:.1e}"
        )
    return error


_faults: WeakKeyDictionary[nn.Module, dict[tuple[int, int, int], str]] = WeakKeyDictionary()


def find_fault(model: nn.Module, image: tuple[int, int, int]) -> str:
    """Why a network cannot be trusted to lose channels: what the proof says for a random half of
    all groups; empty if it holds. Tried once for a network.

    Raises:
        UserError: see `channel_groups.analyse`.
    """
    faults = _faults.setdefault(model, {})
    if image not in faults:
        structure = analyse(model, image)
        try:
            prove(model, structure, random_half(structure), image)
            faults[image] = ""
        except UserError as error:
            faults[image] = str(error)
    return faults[image]


_Tried = dict[tuple[tuple[str, int], ...], str]
_training_faults: WeakKeyDictionary[nn.Module, _Tried] = WeakKeyDictionary()


def find_training_fault(
    model: nn.Module, keep: KeepPlan, images: Tensor, *, image: tuple[int, int, int]
) -> str:
    """Why a network cannot run in training mode, whose layers need not be those of eval mode, when
    a plan's channels are gone; empty if it can. Tried once for a network and its widths.

    Args:
        images: normalised, [B, C, H, W].

    Raises:
        UserError, ValueError: see `shrink`.
    """
    widths = tuple((name, len(index)) for name, index in keep.items())
    tried = _training_faults.setdefault(model, {})
    if widths not in tried:
        small = shrink(model, keep, image=image).train()
        try:
            small(images)
            tried[widths] = ""
        except RuntimeError as error:
            line = str(error).partition("\n")[0]
            tried[widths] = (
                "without some of its channels the network does not run in training mode, as where "
                f"it has layers for training only, such as auxiliary classifiers: {line}"
            )
    return tried[widths]


def random_half(structure: Structure, seed: int = 0) -> dict[str, Tensor]:
    """A plan that keeps half of every group, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    plan = {}
    for group in structure.groups:
        order = torch.randperm(group.channels, generator=generator)
        plan[group.name] = order[: (group.channels + 1) // 2].sort().values
    return plan


def first_tensor(output: object) -> Tensor:
    """The logits of a network that may return more beside them."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    assert isinstance(output, tuple | list)
    return first_tensor(output[0])


def normalise(model: nn.Module, x: Tensor) -> None:
    """Have batch-norms divide by the root of the mean square that these images give their channels.
    The signals of a residual network would else grow from block to block, until its gates are so
    steep that they make much of the rounding of float64. Nothing is subtracted for it, which would
    leave much rounding of a channel that is nearly constant."""

    def set_statistics(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        mean, variance = norm.running_mean, norm.running_var
        if inputs and isinstance(mean, Tensor) and isinstance(variance, Tensor):
            other = [axis for axis in range(inputs[0].dim()) if axis != 1]
            variance.copy_(inputs[0].square().mean(other))
            mean.mul_(variance.sqrt())

    hooks = [
        module.register_forward_pre_hook(set_statistics)
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    with DoublePrecision():
        model(x)
    for hook in hooks:
        hook.remove()


def enliven(name: str, tensor: Tensor, generator: torch.Generator) -> None:
    """Draw a tensor at random, such that signals stay about 1 however deep the network is.

    With small initial weights a fault in an early layer would be lost below the tolerance.
    """
    if not tensor.is_floating_point():
        return
    if name.endswith("running_var") or (tensor.dim() < 2 and name.endswith("weight")):
        tensor.uniform_(0.5, 1.5, generator=generator)
    elif tensor.dim() < 2:
        tensor.normal_(0, 0.2, generator=generator)
    else:
        inputs = tensor[0].numel() if len(tensor) > 1 else 1
        tensor.normal_(0, (2 / inputs) ** 0.5, generator=generator)
