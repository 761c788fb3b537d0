"""Graphs of the pretended GPU: what a capture holds and refuses, and what a replay computes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu


@in_cuda_process
def test_a_graph_computes_anew_from_the_memory_that_it_was_captured_with() -> None:
    with PretendedGpu() as gpu:
        x, total = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            doubled = (x * 2).relu()
            total += doubled.view(3)
        total.zero_()
        x.fill_(5.0)
        gpu.clear()
        graph.replay()
        graph.replay()
        assert gpu.kernels.total() == 2
        assert doubled.tolist() == [10.0] * 3 and total.tolist() == [20.0] * 3


@in_cuda_process
def test_a_capture_refuses_waits_and_uploads() -> None:
    with PretendedGpu():
        x = torch.ones(3, device="cuda")
        for refused in (
            lambda: x.sum().item(),
            torch.cuda.synchronize,
            lambda: torch.ones(3).to("cuda"),
        ):
            with (
                pytest.raises(RuntimeError, match="not permitted when stream is capturing"),
                torch.cuda.graph(torch.cuda.CUDAGraph()),
            ):
                refused()
        assert not torch.cuda.is_current_stream_capturing()


@in_cuda_process
def test_a_capture_changes_nothing() -> None:
    with PretendedGpu() as gpu:
        weight = torch.ones(3, device="cuda", requires_grad=True)
        norm = nn.BatchNorm1d(3).to("cuda")
        optimizer = torch.optim.SGD([weight], 0.5, momentum=0.9, fused=True)
        optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        x = torch.randn(4, 3, device="cuda")
        statistics = norm.running_mean.tolist(), torch.cuda.get_rng_state()
        graph = torch.cuda.CUDAGraph()
        gpu.clear()
        with torch.cuda.graph(graph):
            made = functional.dropout(norm(x) * weight)
            made.sum().backward()
            optimizer.step()
        assert not gpu.kernels and graph.kernels["convolution_backward"] == 0 < graph.kernels["mul"]
        assert weight.tolist() == [1.0] * 3 and made.isnan().all() and weight.grad.isnan().all()
        assert norm.running_mean.tolist() == statistics[0]
        assert torch.equal(torch.cuda.get_rng_state(), statistics[1])
        graph.replay()
        dropped, after = (made == 0).tolist(), weight.tolist()
        assert norm.running_mean.tolist() != statistics[0] and after != [1.0] * 3
        graph.replay()
        assert (made == 0).tolist() != dropped and weight.tolist() != after


@in_cuda_process
def test_a_number_of_the_host_is_the_one_of_the_capture() -> None:
    with PretendedGpu():
        x, factor, graph = torch.ones(2, device="cuda"), torch.tensor(2.0), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = x * factor
        factor.fill_(5.0)
        graph.replay()
        assert made.tolist() == [2.0, 2.0]


@in_cuda_process
def test_after_a_failed_capture_all_is_as_before() -> None:
    with PretendedGpu():
        x = torch.ones(2, device="cuda")
        generator = torch.Generator(device="cuda")
        for refused in (
            lambda: torch.rand(2, device="cuda", generator=generator),
            lambda: torch.ones(2, device="cuda").sum().item(),
        ):
            error = None
            try:
                with torch.cuda.graph(torch.cuda.CUDAGraph()):
                    x += 1
                    refused()
            except RuntimeError as raised:
                error = str(raised)
            assert "not permitted when stream is capturing" in str(error)
            assert x.tolist() == [1.0, 1.0]


@in_cuda_process
def test_torch_knows_that_it_is_captured() -> None:
    with PretendedGpu():
        weight = torch.ones(2, device="cuda", requires_grad=True)
        weight.grad = torch.ones_like(weight)
        adam = torch.optim.Adam([weight], fused=True)
        adam.step()
        with (
            pytest.raises(RuntimeError, match="capturable is False"),
            torch.cuda.graph(torch.cuda.CUDAGraph()),
        ):
            adam.step()
