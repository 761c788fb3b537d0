"""Weights under masks, packed and unpacked."""

import io

import torch

from pruning.packed_weights import pack_weights, unpack_weights


def test_weights_and_masks_come_back_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {
        "odd": torch.randn(3, 7, generator=generator),
        "plain": torch.randn(4, generator=generator),
        "half": torch.randn(5, 2, 3, generator=generator).half(),
        "whole": torch.randn(2, 2, generator=generator),
        "empty": torch.zeros(4, 4),
    }
    masks = {
        "odd": torch.rand(3, 7, generator=generator) > 0.5,
        "half": torch.rand(5, 2, 3, generator=generator) > 0.9,
        "whole": torch.ones(2, 2, dtype=torch.bool),
        "empty": torch.zeros(4, 4, dtype=torch.bool),
    }
    for name, mask in masks.items():
        weights[name] = weights[name] * mask
    stream = io.BytesIO()
    torch.save(pack_weights(weights, masks), stream)
    stream.seek(0)
    again, kept = unpack_weights(torch.load(stream, weights_only=True))
    assert list(again) == list(weights)
    assert all(torch.equal(again[n], weights[n]) for n in weights)
    assert all(again[name].dtype == value.dtype for name, value in weights.items())
    assert set(kept) == {"odd", "half", "empty"}
    assert all(torch.equal(mask, masks[name]) for name, mask in kept.items())
