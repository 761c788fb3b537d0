"""Window attention of the Swin transformer with fewer heads than its input's width allows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.swin_transformer import ShiftedWindowAttention


class NarrowWindowAttention(ShiftedWindowAttention):  # type: ignore[misc]
    """torchvision's window attention, the width of a head read from the weights."""

    def adapt(self) -> None:
        """Keep the scale that the whole module computes from its widths."""
        if not hasattr(self, "scale"):
            self.scale = (self.proj.out_features / self.num_heads) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """Attention within shifted windows of [batch, height, width, channels]."""
        high, wide = self.window_size
        b, height, width, _ = x.shape
        x = functional.pad(x, (0, 0, 0, -width % wide, 0, -height % high))
        rows, columns = x.shape[1], x.shape[2]
        shift = [
            0 if window >= side else step
            for step, window, side in zip(
                self.shift_size, self.window_size, (rows, columns), strict=True
            )
        ]
        if any(shift):
            x = torch.roll(x, (-shift[0], -shift[1]), (1, 2))
        x = self._attend(_windows(x, high, wide), _shift_mask(x, (high, wide), shift))
        x = x.view(b, rows // high, columns // wide, high, wide, -1)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(b, rows, columns, -1)
        if any(shift):
            x = torch.roll(x, (shift[0], shift[1]), (1, 2))
        return x[:, :height, :width, :].contiguous()

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attention within windows, [windows, tokens, channels]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * self.scale) @ k.transpose(-2, -1)
        scores = scores + self.get_relative_position_bias()
        if mask is not None:
            scores = scores.unflatten(0, (-1, len(mask))) + mask[None, :, None]
            scores = scores.flatten(0, 1)
        weights = functional.dropout(scores.softmax(-1), self.attention_dropout, self.training)
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        return functional.dropout(self.proj(mixed), self.dropout, self.training)


def _windows(x: Tensor, high: int, wide: int) -> Tensor:
    """[batch, height, width, channels] as [batch * windows, tokens, channels]."""
    b, rows, columns, c = x.shape
    x = x.view(b, rows // high, high, columns // wide, wide, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, high * wide, c)


def _shift_mask(x: Tensor, window: tuple[int, int], shift: list[int]) -> Tensor | None:
    """-100 between tokens of a window that a shift brought together, [windows, tokens, tokens]."""
    if not any(shift):
        return None
    regions = x.new_zeros(1, x.shape[1], x.shape[2], 1)
    for dim, (side, step) in enumerate(zip(window, shift, strict=True), start=1):
        if step:
            place = torch.arange(x.shape[dim], device=x.device)
            part = (place >= x.shape[dim] - side).long() + (place >= x.shape[dim] - step).long()
            shape = [1, -1, 1, 1] if dim == 1 else [1, 1, -1, 1]
            regions = regions * 3 + part.view(shape)
    tokens = _windows(regions, *window)[..., 0]
    return (tokens[:, None] != tokens[:, :, None]).to(x.dtype) * -100
