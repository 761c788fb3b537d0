"""The largest scores are found exactly, and the host waits once for all layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning.masks import keep_best
from pruning.top_scores import check_scores, find_top
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu

VALUES = [0.0, -0.0, 1.0, 2.5, -torch.inf, torch.inf, -3.0]


@given(scores=st.lists(st.sampled_from(VALUES), min_size=1, max_size=50), share=st.floats(0, 1))
def test_the_first_of_equals_are_kept(scores: list[float], share: float) -> None:
    count = round(share * len(scores))
    kept = torch.nonzero(find_top(torch.tensor(scores), count)).flatten().tolist()
    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:count]
    assert kept == sorted(expected)


def test_candidates_of_every_vector_are_counted() -> None:
    scores = [torch.tensor([1.0, -torch.inf]), torch.zeros(0), torch.tensor([torch.inf, -1.0])]
    assert check_scores(scores) == [1, 0, 2]
    assert check_scores([]) == []


def test_a_score_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="scores contain NaN"):
        check_scores([torch.ones(3), torch.tensor([1.0, torch.nan])])


@in_cuda_process
def test_a_gpu_finds_the_same_and_the_host_waits_for_the_check_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: torch.randint(-3, 4, (size,), generator=generator) * torch.tensor([1.0, -0.0, 0.5])
        for name, size in (("a", 3), ("b", 3), ("c", 3))
    }
    layers["d"] = torch.rand(1000, generator=generator).round(decimals=2)
    with PretendedGpu() as gpu:
        there = {name: score.to("cuda") for name, score in layers.items()}
        with gpu.no_waits():
            for name, score in layers.items():
                for count in (0, 1, len(score) // 2, len(score)):
                    found = find_top(there[name], count)
                    assert torch.equal(found.numbers, find_top(score, count)), (name, count)
        for scope in ("global", "layer"):
            gpu.clear()
            found = keep_best(there, 0.7, scope=scope, fixed={"b": 0.5, "d": 0.25})
            assert gpu.waits.total() == 1, gpu.report()
            here = keep_best(layers, 0.7, scope=scope, fixed={"b": 0.5, "d": 0.25})
            assert all(torch.equal(found[name].cpu(), here[name]) for name in here), scope
