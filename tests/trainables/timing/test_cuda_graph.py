"""Forward passes are timed as CUDA graphs where that can be had, and the row says so."""

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.timing.cuda_graph import GRAPHED, capture
from trainables.timing.latency import make_forward_call
from trainables.timing.stopwatch import time_calls

CUDA = torch.device("cuda")
IMAGE = (1, 8, 8)


def test_on_a_cpu_the_call_stays_as_it_is() -> None:
    def call() -> None:
        raise AssertionError("nobody asked for it")

    assert capture(call, torch.device("cpu")) == (call, "")


@in_cuda_process
def test_a_pass_is_one_launch_and_gives_the_same_logits() -> None:
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    eager = make_forward_call(model, IMAGE, batch=4, precision="fp32", device=torch.device("cpu"))()
    with PretendedGpu() as gpu:
        seen: list[Tensor] = []
        forward = make_forward_call(model.to("cuda"), IMAGE, batch=4, precision="fp32", device=CUDA)
        run, note = capture(lambda: seen.append(forward()), CUDA)
        assert note == GRAPHED
        with torch.inference_mode():
            seen[-1].zero_()
        gpu.clear()
        run()
        assert gpu.kernels.total() == 1
        assert torch.equal(seen[-1].cpu(), eager)
        assert time_calls(run, 4, device=CUDA, runs=3).runs == 3


class Looking(nn.Module):
    """A network that decides by its values."""

    def forward(self, x: Tensor) -> Tensor:
        return x if bool(x.sum() > 0) else -x


@in_cuda_process
def test_a_network_that_waits_for_the_device_is_timed_as_it_is() -> None:
    with PretendedGpu():
        x = torch.ones(2, device="cuda")
        call = lambda: Looking()(x)  # noqa: E731
        run, note = capture(call, CUDA)
        assert run is call and note.startswith("timed without a CUDA graph, which failed: CUDA err")


@in_cuda_process
def test_a_lack_of_memory_is_left_to_the_caller() -> None:
    with PretendedGpu(memory=2**20), pytest.raises(torch.OutOfMemoryError):
        capture(lambda: torch.empty(2**20, device="cuda"), CUDA)
