"""Attention with fewer heads than its input's width allows, for modules that compute the one from
the other.

torch's `MultiheadAttention` and torchvision's `ShiftedWindowAttention` take the width of a head to
be the input's width divided by the number of heads. Where heads are removed, the module becomes one
of these: same parameters, same names, the width of a head read from the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def replacement(module: nn.Module) -> tuple[Any, tuple[str, ...]]:
    """The class for a module that loses heads, and its numbers that change; None if it can stay."""
    if type(module) in (nn.MultiheadAttention, NarrowAttention):
        return NarrowAttention, ("num_heads",)
    if type(module).__name__ in ("ShiftedWindowAttention", "NarrowWindowAttention"):
        return _window_class(), ("num_heads",)
    return None, ()


class NarrowAttention(nn.MultiheadAttention):
    """Self- or cross-attention whose heads together are narrower than the embedding."""

    def adapt(self) -> None:
        """Keep torch's fused encoder layers away, which know only whole ones."""
        self._qkv_same_embed_dim = False

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `nn.MultiheadAttention.forward`."""
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        mask = _joined_masks(attn_mask, key_padding_mask, q)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            mixed = functional.dropout(weights, dropout) @ v
        else:
            mixed = functional.scaled_dot_product_attention(
                q, k, v, mask, dropout, scale=self.head_dim**-0.5
            )
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        out = out if self.batch_first else out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, weights.mean(1) if average_attn_weights else weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values, [batch, heads, tokens, width of a head] each."""
        weights = self.in_proj_weight.chunk(3)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [
            functional.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]


def _joined_masks(mask: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
    """One additive mask that is broadcast over [batch, heads, tokens, tokens]."""
    joined = None
    for part in (mask, None if padding is None else padding[:, None, None, :]):
        if part is not None:
            if part.dtype == torch.bool:
                part = torch.zeros_like(part, dtype=like.dtype).masked_fill(part, -torch.inf)
            if part.dim() == 3:
                part = part.unflatten(0, (like.shape[0], -1))
            joined = part if joined is None else joined + part
    return joined


def _window_class() -> type[nn.Module]:
    """The narrow form of torchvision's window attention; imports torchvision."""
    from pruning.structured.narrow_window_attention import NarrowWindowAttention

    return NarrowWindowAttention
