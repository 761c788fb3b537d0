"""What a process asks of glibc, and of a GPU, before it trains."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import T4, PretendedGpu
from trainables.environment import Environment
from trainables.training import process
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

TRIM, MMAP = -1, -3


@pytest.mark.parametrize(
    ("most", "asked"),
    [
        (2**31, [(MMAP, 2**30), (TRIM, 2**30)]),
        (
            2**25,
            [(MMAP, 2**30), (MMAP, 2**25), (TRIM, 2**30)],
        ),  # older glibc refuses more than 32 MiB
        (0, [(MMAP, 2**30), (MMAP, 2**25)]),
    ],
)
def test_freed_memory_is_retained_only_where_large_tensors_may_lie_in_it(
    most: int, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(name: int, size: int) -> int:
        calls.append((name, size))
        return int(name == TRIM or size <= most)

    monkeypatch.setattr(process.platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    process._retain_memory.__wrapped__()
    assert calls == asked


@in_cuda_process
def test_a_process_on_a_gpu_computes_exactly_and_takes_its_share(tmp_path: Path) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=0, recipe=Recipe(epochs=1))
    with PretendedGpu(T4) as gpu:
        for sharing, share in ((1, 1.0), (4, 0.25 - process.GPU_CONTEXT / T4.memory)):
            Trial(spec, Environment(store=str(tmp_path), device="cuda", sharing_gpu=sharing))
            assert gpu.memory.fraction == pytest.approx(share)
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        Trial(spec, Environment(store=str(tmp_path), device="cuda", deterministic=False))
        assert not torch.are_deterministic_algorithms_enabled()


@in_cuda_process
def test_a_trial_that_wants_more_than_its_share_fails_itself(tmp_path: Path) -> None:
    with PretendedGpu(memory=10 * 2**30):
        process.set_up_gpu(sharing=4, deterministic=False)
        torch.empty(2**26, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(3 * 2**30, dtype=torch.uint8, device="cuda")
