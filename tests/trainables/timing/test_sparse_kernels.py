"""Kernels for 2:4 sparsity: which layers get them, and what the note says where none does."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import pytest
import torch
from torch import Tensor

from pruning.masks import prunable
from tests.trainables.timing.structures import CPU, structure_of
from trainables.timing import latency
from trainables.timing.network_structure import NetworkStructure
from trainables.timing.sparse_kernels import use_sparse_kernels


class Sparse:
    """Stands in for the GPU's semi-structured weights: takes what `fits` and computes with the
    dense weight."""

    def __init__(self, fits: Callable[[Tensor], bool]) -> None:
        self.fits, self.taken = fits, list[tuple[int, ...]]()

    def __call__(self, weight: Tensor) -> Tensor:
        if not self.fits(weight):
            raise RuntimeError(
                f"Error original_tensor.shape {tuple(weight.shape)} is not supported!\nmore"
            )
        self.taken.append(tuple(weight.shape))
        return weight.clone()


def patterned_structure() -> NetworkStructure:
    """simple_cnn with 2:4 wherever it fits: not in the first convolution, which has 3 input
    channels."""
    dense = structure_of("simple_cnn")
    kept = tuple(prod(shape) // (2 if shape[1] % 4 == 0 else 1) for _, shape in dense.shapes)
    return replace(dense, kept=kept, pattern=(2, 4))


def test_2_to_4_kernels_serve_the_linear_layers_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = Sparse(lambda weight: len(weight) % 32 == 0)  # fc1 has 128 rows, fc2 has 10
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", sparse)
    row, _ = latency.time_structure(patterned_structure(), device=CPU, threads=1, runs=2)
    assert row["form"] == "2:4"
    assert row["notes"] == "2:4 kernels for fc1.weight; dense ones for the rest"
    assert sparse.taken == [(128, 1024)]


def test_a_kernel_that_fails_when_called_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def crooked(weight: Tensor) -> Tensor:
        return weight[:, 1:]

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", crooked)
    model, _ = patterned_structure().rebuild()
    before = {name: weight.clone() for name, weight in prunable(model).items()}
    label, note = use_sparse_kernels(model, patterned_structure(), CPU)
    assert label == "masked" and note.startswith("dense kernels: fc2.weight: ")
    assert all(torch.equal(weight, before[name]) for name, weight in prunable(model).items())


def test_without_kernels_the_form_is_masked_and_the_note_says_why() -> None:
    row, _ = latency.time_structure(patterned_structure(), device=CPU, threads=1, runs=2)
    assert row["form"] == "masked"
    assert "Only CUDA tensors are currently supported" in row["notes"] and "\n" not in row["notes"]
    kept = tuple(prod(shape) // 4 for _, shape in structure_of("mlp").shapes)
    row, _ = latency.time_structure(
        structure_of("mlp", kept=kept, pattern=(1, 4)), device=CPU, threads=1, runs=2
    )
    assert (row["form"], row["notes"]) == (
        "masked",
        "dense kernels: PyTorch has sparse ones for 2:4 only",
    )
    dense_fc = patterned_structure()
    dense_fc = replace(
        dense_fc, kept=(*dense_fc.kept[:2], *(prod(shape) for _, shape in dense_fc.shapes[2:]))
    )
    row, _ = latency.time_structure(dense_fc, device=CPU, threads=1, runs=2)
    unfit, _ = latency.time_structure(
        structure_of("mlp", pattern=(2, 4)), device=CPU, threads=1, runs=2
    )
    assert (unfit["form"], unfit["notes"]) == ("dense", "")
    assert row["notes"].endswith(
        "no sparse ones for convolutions, and no linear layer has the pattern"
    )
