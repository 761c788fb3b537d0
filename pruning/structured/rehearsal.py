"""A rehearsal: does the network still run when half of every group is gone?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pruning.structured.channel_cuts import cut
from pruning.structured.group_parts import Structure
from pruning.structured.label_trace import example, plain_attention, with_storage, without_storage


def failing_module(
    model: nn.Module, structure: Structure, image: tuple[int, int, int], *, compute: bool
) -> tuple[str, str] | None:
    """The innermost module that cannot run on half of its channels, with the reason; or None.

    The network is cut and run on a copy: without storage, unless it must compute.
    """
    skeleton = with_storage(model) if compute else without_storage(model)
    plan = {g.name: torch.arange((g.channels + 1) // 2) for g in structure.groups}
    cut(skeleton, structure, plan)
    stack: list[tuple[str, nn.Module]] = []
    for name, module in skeleton.named_modules():
        module.register_forward_pre_hook(_entering(stack, name))
        module.register_forward_hook(lambda *_: stack.pop() and None)
    try:
        with plain_attention():
            skeleton(example(skeleton, image))
    except (ValueError, TypeError, RuntimeError, AssertionError, IndexError) as error:
        name, module = stack[-1]
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return name, f"layer '{name}' ({type(module).__name__}): its width is fixed ({text})"
    return None


def _entering(stack: list[tuple[str, nn.Module]], name: str) -> Callable[..., None]:
    def enter(module: nn.Module, _inputs: object) -> None:
        stack.append((name, module))

    return enter
