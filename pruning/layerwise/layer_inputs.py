"""What the inputs of a layer look like over a set of images: its Hessian, or norms of its columns.

A convolution is a matrix product over unfolded inputs. Its weight [out, in / groups, kh, kw]
becomes a matrix for each group, [groups, out / groups, cols], with columns in the order (kh, kw,
in), and its input the matching [groups, n, cols] with one row for every image and output position.
A linear layer is the case of one position and one group.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn

from pruning.eval_mode import exact_eval_mode
from pruning.masks import prunable
from pruning.weight_uses import WeightWatch, plain_kernels, trace_weights

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear

CHUNK = 2**24  # entries of one unfolded piece: 64 MiB in fp32
# Rows of a Hessian that are computed together, from the diagonal on: half the work of the whole.
STRIP = 256
# Columns beyond which a Hessian is kept in fp32: 12,544 columns take 629 MB instead of 1,259 MB.
WIDE = 8192


class _ReachedError(Exception):
    """Ends a forward pass at the layer whose input was wanted."""


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """The layer that owns the prunable weight `name`.

    Raises:
        ValueError: the model has no prunable weight of that name.
    """
    known = prunable(model)
    if name not in known:
        raise ValueError(f"no prunable weight '{name}'; there are: {', '.join(known)}")
    return model.get_submodule(name.rpartition(".")[0])


def to_matrix(weight: Tensor, groups: int = 1) -> Tensor:
    """A weight [out, in / groups, *kernel] as [groups, out / groups, cols], columns in the order
    (*kernel, in)."""
    return weight.movedim(1, -1).reshape(groups, weight.shape[0] // groups, -1)


def from_matrix(matrix: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `to_matrix`: a matrix [groups, out / groups, cols] in the layout of a weight
    of `shape`."""
    return matrix.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def unfold(layer: Layer, inputs: Tensor) -> Tensor:
    """The inputs of a layer as the rows that its weight matrix is applied to.

    Args:
        inputs: [batch, in, *size] for a convolution, [..., in] for a linear layer.

    Returns:
        [groups, n, cols], n = batch x output positions; `rows @ to_matrix(weight).mT` is the output
        without bias.
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, layer.in_features)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = nn.functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    # Channels innermost, so that unfolding copies whole runs.
    windows = windows.movedim(1, -1).contiguous()
    dims = len(layer.kernel_size)
    for axis, (size, stride, gap) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True), 1
    ):
        windows = windows.unfold(axis, (size - 1) * gap + 1, stride)[..., ::gap]
    kernel = tuple(range(dims + 2, 2 * dims + 2))  # [batch, *positions, in, *kernel]
    windows = windows.permute(*range(dims + 1), *kernel, dims + 1)
    rows = windows.reshape(
        -1, prod(layer.kernel_size), layer.groups, layer.in_channels // layer.groups
    )
    return rows.permute(2, 0, 1, 3).reshape(layer.groups, rows.shape[0], -1)


def layer_order(model: nn.Module, image: Tensor, only: Collection[str] | None = None) -> list[str]:
    """Names of the prunable weights in the order in which a forward pass over `image` [1, C, H, W]
    uses them.

    Args:
        only: names of those that are wanted; None: all.

    Raises:
        ValueError: a weight is used twice in one forward pass, or not at all.
    """
    weights = prunable(model, only=only)
    with exact_eval_mode(model):
        uses = trace_weights(model, weights, (image.shape[1], image.shape[2], image.shape[3]))
    for name in weights:
        runs = uses.weights[name].runs if name in uses.weights else 0
        if runs != 1:
            raise ValueError(
                f"every layer must run once in a forward pass, but '{name}' runs {runs} times"
            )
    return list(uses.weights)


def hessian(
    model: nn.Module, name: str, batches: Iterable[Tensor], *, chunk: int = CHUNK
) -> Tensor:
    """Second moments of a layer's unfolded inputs, H = 2/N sum x x^T, one matrix per group:
    [groups, cols, cols].

    N counts rows: images x output positions. Pieces of at most `chunk` entries (one image at least)
    are multiplied in fp32, never in TF32 or lower, and summed in fp64; beyond 8,192 columns both
    stay in fp32.

    Args:
        name: the layer's prunable weight.
        batches: images [B, C, H, W]; the model runs on them in eval mode up to this layer.

    Raises:
        ValueError: no such layer, no batch, or the forward pass does not reach the layer.
    """
    total, count = torch.empty(0), 0
    with exact_eval_mode(model):
        for rows in _pieces(model, name, batches, chunk):
            if not count:
                groups, _, cols = rows.shape
                dtype = rows.dtype if cols > WIDE else torch.float64
                total = torch.zeros(groups, cols, cols, dtype=dtype, device=rows.device)
            _add_products(total, rows)
            count += rows.shape[1]
    for start in range(0, total.shape[1], STRIP):  # the lower half, strip by strip
        end = start + STRIP
        total[:, end:, start:end] = total[:, start:end, end:].mT
    return total.mul_(2 / count)


def _add_products(total: Tensor, rows: Tensor) -> None:
    """Add rows^T rows to the upper half of [groups, cols, cols], in strips; below them nothing is
    computed."""
    for start in range(0, total.shape[1], STRIP):
        end = start + STRIP
        total[:, start:end, start:] += rows[:, :, start:end].mT @ rows[:, :, start:]


def input_norms(
    model: nn.Module, name: str, batches: Iterable[Tensor], *, chunk: int = CHUNK
) -> Tensor:
    """Euclidean norms of the columns of a layer's unfolded inputs, fp64, [groups, cols]; arguments
    as in `hessian`.

    Batch-norm works on the statistics of each batch. A method that only masks shifts what the
    running ones were made for, and through stale ones later layers see inputs that the recalibrated
    network never has.
    """
    with exact_eval_mode(model), batch_statistics(model):
        squares = [
            rows.double().square().sum(dim=1) for rows in _pieces(model, name, batches, chunk)
        ]
    return torch.stack(squares).sum(dim=0).sqrt()


def _pieces(model: nn.Module, name: str, batches: Iterable[Tensor], chunk: int) -> Iterator[Tensor]:
    """Unfolded inputs of a layer, a few images at a time: [groups, n, cols] with about `chunk`
    entries at most."""
    layer = layer_of(model, name)
    count = 0
    for images in batches:
        inputs = _capture(model, layer, images) if isinstance(layer, Layer) else None
        if inputs is None:
            # Rows of a linear map that no layer is called for, as attention's projections.
            rows = _capture_rows(model, name, images)
            for piece in torch.split(rows, max(1, chunk // rows.shape[1])):
                yield piece[None]
        else:
            assert isinstance(layer, Layer)
            per_image = unfold(layer, inputs[:1]).numel()
            for piece in torch.split(inputs, max(1, chunk // per_image)):
                yield unfold(layer, piece)
        count += 1
    if not count:
        raise ValueError(
            f"calibration of '{name}' needs at least one batch of images, but got none"
        )


def _capture(model: nn.Module, layer: Layer, images: Tensor) -> Tensor | None:
    """The input of a layer for one batch, where the forward pass ends; None where the layer is not
    called."""
    reached: list[Tensor] = []

    def reach(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        reached.append(inputs[0])
        raise _ReachedError

    hook = layer.register_forward_pre_hook(reach)
    try:
        model(images)
    except _ReachedError:
        return _exact(reached[0])
    finally:
        hook.remove()
    return None


def _capture_rows(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """The rows [n, in] that the weight of a linear map is applied to, whatever calls it."""
    reached: list[Tensor] = []

    def reach(rows: Tensor) -> None:
        reached.append(rows)
        raise _ReachedError

    try:
        with plain_kernels(), WeightWatch(model, prunable(model, only=[name]), at_use=reach):
            model(images)
    except _ReachedError:
        return _exact(reached[0])
    raise ValueError(f"the forward pass does not reach '{name}'")


def _exact(inputs: Tensor) -> Tensor:
    return inputs if inputs.dtype == torch.float64 else inputs.float()


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch-norm by the statistics of each batch, as if recalibrated; the running ones are put back
    afterwards."""
    norms = [
        module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    running = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, running, strict=True):
            norm.running_mean, norm.running_var = mean, variance
