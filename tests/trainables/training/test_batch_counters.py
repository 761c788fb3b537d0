"""Counters of batch-norm layers that are added up outside of the layers."""

import torch
from torch import Tensor, nn

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.training.batch_counters import BatchCounters


class Layers(nn.Module):
    """Layers that are called once, twice, never, in eval mode, and one whose formula counts."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice, self.never = (nn.BatchNorm1d(3) for _ in range(3))
        self.fixed, self.counting = nn.BatchNorm1d(3).eval(), nn.BatchNorm1d(3, momentum=None)
        self.without = nn.BatchNorm1d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.once(x)))
        out: Tensor = self.without(self.counting(self.fixed(x)))
        return out


@in_cuda_process
def test_they_count_what_torch_counts_in_one_kernel() -> None:
    with PretendedGpu() as gpu:
        plain, counted = Layers().to("cuda"), Layers().to("cuda")
        counters = BatchCounters(counted)
        for number in range(3):
            x = torch.full((2, 3), float(number), device="cuda") + torch.arange(3, device="cuda")
            before = gpu.kernels["add_"]
            plain(x)
            torchs, before = gpu.kernels["add_"] - before, gpu.kernels["add_"]
            with counters.count():
                counted(x)
            assert (torchs, gpu.kernels["add_"] - before) == (4, 1)
            assert counted.once.num_batches_tracked.is_cuda
        assert gpu.kernels["_foreach_add_"] == 3
        for name, value in plain.state_dict().items():
            assert torch.equal(value, counted.state_dict()[name]), name
        assert int(counted.twice.num_batches_tracked) == 6


@in_cuda_process
def test_they_are_back_after_an_error() -> None:
    with PretendedGpu():
        model = Layers().to("cuda")
        try:
            with BatchCounters(model).count():
                model.once(torch.ones(2, 3, device="cuda"))
                raise KeyError
        except KeyError:
            assert int(model.once.num_batches_tracked) == 1


def test_on_a_cpu_the_layers_count_themselves() -> None:
    model = Layers()
    with BatchCounters(model).count():
        model(torch.ones(2, 3))
        assert int(model.twice.num_batches_tracked) == 2
