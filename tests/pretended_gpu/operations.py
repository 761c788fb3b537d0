"""What operations of torch do on a GPU, as far as their names, schemas and arguments say it: which
are refused, for which the host waits, how many kernels they start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.pretended_gpu.device_tensor import DeviceTensor, Generator, HostGenerator

aten = torch.ops.aten

COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
# They take a number that lies on the host, although torch does not tag them as pointwise.
TAKE_HOST_NUMBERS = INDEXING | {
    aten.fill_.Tensor,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.where.self,
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The host waits for the size of the answer, or for whether it succeeded; besides these, for every
# operation that answers with a plain number.
WAITS = _names(
    """nonzero masked_select _unique2 unique_dim unique_consecutive bincount repeat_interleave
    _linalg_check_errors _linalg_eigh _linalg_svd"""
)
_PLAIN_NUMBERS = _names("BoolType NumberType IntType FloatType")
NO_KERNEL = _names(
    """detach alias lift_fresh _local_scalar_dense set_ _unsafe_view _reshape_alias
    _linalg_check_errors empty empty_like empty_strided new_empty new_empty_strided"""
)
# Tensors that one launch of a multi-tensor kernel takes, by the number of lists.
TENSORS_PER_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
# Sums in no fixed order, or choices among equals: what torch.use_deterministic_algorithms refuses
# or replaces on CUDA.
_UNORDERED = _names(
    """_adaptive_avg_pool2d_backward adaptive_max_pool2d_backward reflection_pad2d_backward
    index_add index_add_ scatter_add scatter_add_ scatter_reduce cumsum kthvalue median histc
    upsample_bilinear2d_backward avg_pool3d_backward max_pool3d_with_indices_backward"""
)
# Of those, what has another form, which torch then uses.
_REPLACED = _names("index_add index_add_ scatter_add scatter_add_")


def is_unordered(name: str, args: Any) -> bool:
    """Whether an operation need not give the same numbers again; sums of whole numbers do."""
    if name == "cumsum" and not (args[0].is_floating_point() or args[0].is_complex()):
        return False
    return name in _UNORDERED


def find_fault(
    func: Any, name: str, args: Any, leaves: list[Any], device: list[Any], host: list[Tensor]
) -> str | None:
    """Why a GPU would refuse an operation, in its words; None where it would not.

    Args:
        leaves: all arguments; device, host: those that are tensors there.
    """
    for leaf in leaves:
        if isinstance(leaf, HostGenerator) and leaf._cdata not in Generator.on_device:
            return f"Expected a 'cuda' device type for generator but found 'cpu' [{name}]"
    refused = is_unordered(name, args) and name not in _REPLACED
    if refused and torch.are_deterministic_algorithms_enabled():
        return (
            f"{name} does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'"
        )
    if func in COPIES or not (device and host):
        return None
    first = args[0][0] if isinstance(args[0], list | tuple) and args[0] else args[0]
    if func in INDEXING and isinstance(first, DeviceTensor):  # indices may lie on the host
        values = args[2:3]
        host = [x for x in values if isinstance(x, Tensor) and not isinstance(x, DeviceTensor)]
    takes_numbers = torch.Tag.pointwise in func.tags or func in TAKE_HOST_NUMBERS
    writes_to_host = func._schema.is_mutable and not isinstance(first, DeviceTensor)
    if not writes_to_host and takes_numbers and all(tensor.dim() == 0 for tensor in host):
        return None
    return (
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
        f"cpu! [{name}]"
    )


def copies_down(func: Any, args: Any, device: list[Any], on_device: bool) -> bool:
    """Whether an operation brings numbers from the device to the host."""
    into_host = func == aten.copy_.default and not isinstance(args[0], DeviceTensor)
    return into_host or bool(device and not on_device)


def find_wait(func: Any, name: str, args: Any, kwargs: Any, down: bool) -> str | None:
    """What the host waits for in an operation; None where it goes on at once."""
    if func in INDEXING:
        given = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in given):
            return f"{name} by a mask"
    answers = {type(answer.type).__name__ for answer in func._schema.returns}
    target = torch.device(kwargs.get("device") or "cpu").type
    fetches = down and target == "cpu" and not kwargs.get("non_blocking")
    return name if name in WAITS or answers & _PLAIN_NUMBERS or fetches else None


def count_kernels(func: Any, name: str, args: Any, *, moves: bool) -> int:
    """The kernels that an operation starts, at least: batch-norm and reductions start several.

    Args:
        moves: whether it only copies between host and device.
    """
    if moves or name in NO_KERNEL or func.is_view:
        return 0
    if name == "convolution_backward":
        return sum(args[-1])
    if name.startswith(("_foreach", "_fused", "_amp_foreach")):
        lists = [x for x in args if isinstance(x, list | tuple) and x]
        lists = [x for x in lists if isinstance(x[0], DeviceTensor)]
        if lists:
            return -(-len(lists[0]) // TENSORS_PER_LAUNCH[min(5, len(lists))])
    return 1


def poison(made: Tensor) -> None:
    """Fill a tensor on the CPU with NaN, or whole numbers with the largest."""
    if made.dtype != torch.bool:
        floating = made.is_floating_point() or made.is_complex()
        made.fill_(torch.nan if floating else torch.iinfo(made.dtype).max)


def _batch_norm(*args: Any) -> Any:
    return *torch.native_batch_norm(*args), torch.empty(0, dtype=torch.uint8)


def _batch_norm_backward(
    x: Any, grad: Any, weight: Any, mean: Any, var: Any, saved: Any, inverse: Any, eps: Any, _: Any
) -> Any:
    wanted = [True, True, True]
    return aten.native_batch_norm_backward(
        grad, x, weight, mean, var, saved, inverse, True, eps, wanted
    )


# Operations of CUDA that have no kernel on the CPU, by others that have.
SUBSTITUTES: dict[Any, Any] = {
    aten.cudnn_batch_norm.default: _batch_norm,
    aten.cudnn_batch_norm_backward.default: _batch_norm_backward,
}
