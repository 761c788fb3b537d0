"""What pytest learns of a test that ran in the process with the pretended GPU.

Covers: tests/pretended_gpu/cuda_process.py
Covers: tests/pretended_gpu/cuda_runtime.py
"""

import os
from pathlib import Path

import pytest

from tests.pretended_gpu import cuda_process, cuda_runtime
from tests.pretended_gpu.cuda_process import in_cuda_process

HERE = os.getpid()


@in_cuda_process
def fails() -> None:
    raise ValueError("this went wrong")


@in_cuda_process
def skips() -> None:
    pytest.skip("not today")


@in_cuda_process
def dies() -> None:
    os._exit(7)


@in_cuda_process
def writes(file: Path, pytest_process: int) -> None:
    assert cuda_runtime.is_loaded() and os.getpid() != pytest_process
    file.write_text("it ran")


@pytest.fixture(autouse=True)
def _available() -> None:
    if reason := cuda_runtime.why_unavailable():
        pytest.skip(reason)


def test_it_runs_in_another_process_with_what_pytest_hands_it(tmp_path: Path) -> None:
    assert not cuda_runtime.is_loaded()
    writes(tmp_path / "file", HERE)
    assert (tmp_path / "file").read_text() == "it ran"


def test_a_failure_there_is_a_failure_here() -> None:
    with pytest.raises(pytest.fail.Exception, match="ValueError: this went wrong"):
        fails()


def test_a_skipped_test_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="not today"):
        skips()


def test_a_death_is_a_failure_and_the_next_test_has_a_new_process(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="died with exit code 7"):
        dies()
    assert cuda_process._CudaProcess._only is None
    writes(tmp_path / "file", HERE)


def test_the_answers_must_come_before_torch() -> None:
    import torch  # noqa: F401

    with pytest.raises(RuntimeError, match="before torch"):
        cuda_runtime.load()


def test_a_gpu_is_refused_in_a_process_that_cannot_have_one() -> None:
    from tests.pretended_gpu.instrument import PretendedGpu

    with pytest.raises(RuntimeError, match="in_cuda_process"):
        PretendedGpu().__enter__()
