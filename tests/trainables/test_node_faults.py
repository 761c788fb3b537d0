"""What torch, CUDA and the system say of a node, told from what they say of a trial."""

import errno

import pytest
import torch

from trainables.node_faults import NodeUnfit, find_node_fault, is_taken_by_others
from trainables.storage.store import StoreLost

GiB = 2**30

UNFIT = [
    RuntimeError(
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
        "installed a driver from http://www.nvidia.com/Download/index.aspx"
    ),
    RuntimeError(
        "The NVIDIA driver on your system is too old (found version 11040). Please update your "
        "GPU driver"
    ),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError(
        "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing "
        "env variable CUDA_VISIBLE_DEVICES after program start. CUDA initialization failed"
    ),
    RuntimeError(
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before "
        "calling NumCudaDevices() that might have already set an error? Error 802: system not yet "
        "initialized"
    ),
    AssertionError("Torch not compiled with CUDA enabled"),
    torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
    torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error", "/tmp/cache/images"),
    NodeUnfit("Tesla T4 does not compute in bf16"),
]
OF_THE_TRIAL = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("Expected all tensors to be on the same device"),
    FloatingPointError("the training loss is nan"),
    FileNotFoundError(errno.ENOENT, "No such file"),
    ValueError("scores contain NaN"),
    StoreLost("the study directory does not answer"),
]


@pytest.mark.parametrize("exception", UNFIT, ids=str)
def test_a_fault_of_the_node_is_one_line(exception: Exception) -> None:
    fault = find_node_fault(exception)
    assert fault and "\n" not in fault and str(exception).split(".")[0].strip() in fault


@pytest.mark.parametrize("exception", OF_THE_TRIAL, ids=str)
def test_a_fault_of_the_trial_is_none_of_the_node(exception: Exception) -> None:
    assert find_node_fault(exception) is None


def test_the_cause_of_an_exception_counts() -> None:
    outer = RuntimeError("cannot load the data")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "No space left" in str(find_node_fault(outer))


@pytest.mark.parametrize(
    ("held", "by_others"),
    [(1 * GiB, True), (2 * GiB, True), (2 * GiB + 1, False), (4 * GiB, False)],
)
def test_memory_within_the_own_share_is_taken_by_others(held: int, by_others: bool) -> None:
    error = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15 GiB"
    assert is_taken_by_others(error, held=held, allowed=4 * GiB) is by_others


def test_an_unknown_message_blames_nobody_else() -> None:
    assert not is_taken_by_others("CUDA out of memory", held=0, allowed=GiB)
