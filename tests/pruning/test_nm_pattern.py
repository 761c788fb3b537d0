"""n:m patterns against a loop over the runs."""

import pytest
import torch
from torch import nn

from pruning.layerwise.layer_inputs import from_matrix, to_matrix
from pruning.nm_pattern import fits_pattern, keep_rowwise, nm_mask, parse_pattern
from tests.pruning.nm_check import is_nm

torch.set_num_threads(1)


def test_parse_reads_kept_of_run() -> None:
    assert parse_pattern("2:4") == (2, 4)
    assert parse_pattern("1:16") == (1, 16)


@pytest.mark.parametrize("pattern", ["4:2", "0:4", "4:4", "2-4", "unstructured", "2:4:8", ""])
def test_parse_refuses_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="but got"):
        parse_pattern(pattern)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (3, 4), (4, 8)])
def test_nm_mask_keeps_the_largest_of_every_run(n: int, m: int) -> None:
    scores = torch.rand(5, 3 * m, generator=torch.Generator().manual_seed(0))
    mask = nm_mask(scores, n, m)
    for row in range(5):
        for start in range(0, 3 * m, m):
            run = scores[row, start : start + m].tolist()
            largest = set(sorted(range(m), key=lambda j: -run[j])[:n])
            assert set(mask[row, start : start + m].nonzero().flatten().tolist()) == largest


def test_ties_go_to_the_lower_index() -> None:
    assert nm_mask(torch.zeros(2, 8), 2, 4).tolist() == [[True, True, False, False] * 2] * 2


def test_keep_rowwise_takes_a_count_per_row() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [1.0, 2.0, 3.0]])
    mask = keep_rowwise(scores, torch.tensor([1, 2, 0]))
    assert mask.tolist() == [[False, True, False], [True, True, False], [False, False, False]]


def test_scores_must_be_numbers_and_runs_whole() -> None:
    with pytest.raises(ValueError, match="NaN"):
        nm_mask(torch.full((1, 4), torch.nan), 2, 4)
    with pytest.raises(ValueError, match="multiple of m = 4, but got 6"):
        nm_mask(torch.ones(1, 6), 2, 4)


def test_runs_lie_along_the_input_channels_of_a_convolution() -> None:
    weight = torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(1))
    mask = from_matrix(nm_mask(to_matrix(weight.abs())[0], 2, 4)[None], weight.shape)
    for out in range(6):
        for y in range(3):
            for x in range(3):
                for start in (0, 4):
                    run = weight[out, start : start + 4, y, x].abs()
                    kept = mask[out, start : start + 4, y, x]
                    assert int(kept.sum()) == 2
                    assert run[kept].min() > run[~kept].max()
    assert is_nm(mask, 2, 4)


def test_is_nm_refuses_runs_along_other_axes() -> None:
    along_kernel = nm_mask(
        torch.rand(8, 16, generator=torch.Generator().manual_seed(2)), 2, 4
    ).view(8, 4, 2, 2)
    assert not is_nm(along_kernel, 2, 4)
    assert not is_nm(torch.ones(4, 8, dtype=torch.bool), 2, 4)
    assert not is_nm(torch.ones(4, 6, dtype=torch.bool), 2, 4)


def test_fits_counts_the_input_channels_of_one_group() -> None:
    assert fits_pattern(nn.Conv2d(8, 8, 3).weight, 4)
    assert not fits_pattern(nn.Conv2d(3, 8, 3).weight, 4)
    assert not fits_pattern(nn.Conv2d(8, 8, 3, groups=4).weight, 4)
    assert fits_pattern(nn.Linear(12, 5).weight, 4)
