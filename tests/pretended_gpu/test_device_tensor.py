"""Tensors of the pretended GPU: their memory, views, copies and what is saved of them."""

import copy
import io

import pytest
import torch
from torch import nn

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu


@in_cuda_process
def test_saved_tensors_say_where_they_were() -> None:
    with PretendedGpu():
        model, buffer = nn.Linear(2, 2).to("cuda"), io.BytesIO()
        torch.save(model.state_dict(), buffer)
        assert b"cuda:0" in buffer.getvalue()
        buffer.seek(0)
        state = torch.load(buffer, map_location="cpu", weights_only=True)
        assert type(state["weight"]) is torch.Tensor
        model.load_state_dict(state)
        assert model.weight.is_cuda


@in_cuda_process
def test_memory_is_counted_once_and_ends() -> None:
    with PretendedGpu(memory=2**20) as gpu:
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            torch.ones(2**20, device="cuda")
        x = torch.ones(2**16, device="cuda")
        view = x.view(4, -1)
        assert gpu.memory.held == torch.cuda.memory_allocated() == 2**18
        del x, view
        assert gpu.memory.held == 0 and torch.cuda.max_memory_allocated() == 2**18
        torch.cuda.set_per_process_memory_fraction(0.25)
        with pytest.raises(torch.OutOfMemoryError):
            torch.ones(2**17, device="cuda")


@in_cuda_process
def test_memory_without_contents_shows() -> None:
    with PretendedGpu():
        assert torch.empty(2, device="cuda").isnan().all().item()
        assert int(torch.empty(2, dtype=torch.int64, device="cuda")[0]) == 2**63 - 1
    with PretendedGpu(poison=False):
        large = [torch.empty(1000, device="cuda") for _ in range(20)]
        assert not all(bool(x.isnan().all()) for x in large)


@in_cuda_process
def test_views_share_their_memory() -> None:
    with PretendedGpu():
        x = torch.ones(2, 3, device="cuda")
        assert x.t().untyped_storage()._cdata == x.untyped_storage()._cdata
        assert x[1].data_ptr() == x.data_ptr() + 3 * x.element_size()
        assert x.clone().data_ptr() != x.data_ptr()


@in_cuda_process
def test_modules_are_copied_and_their_data_written() -> None:
    with PretendedGpu():
        model = nn.Conv2d(3, 4, 3).to("cuda").to(memory_format=torch.channels_last)
        copied = copy.deepcopy(model)
        assert isinstance(copied.weight, nn.Parameter) and copied.weight.requires_grad
        assert copied.weight.is_contiguous(memory_format=torch.channels_last)
        copied.weight.data.zero_()
        assert float(copied.weight.abs().sum()) == 0 < float(model.weight.abs().sum())
