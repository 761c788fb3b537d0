"""The pretended GPU against what CUDA is known to do: what it refuses, counts and computes.

Covers: tests/pretended_gpu/operations.py, tests/pretended_gpu/torch_cuda.py.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import A100, T4, PretendedGpu


@in_cuda_process
def test_there_is_a_gpu_only_inside_of_with() -> None:
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    with PretendedGpu(T4):
        assert torch.cuda.is_available() and torch.cuda.device_count() == 1
        assert torch.cuda.get_device_name() == "Tesla T4"
        assert torch.cuda.get_device_capability() == (7, 5)
        left = torch.ones(2, device="cuda")
    assert not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match="after it was left"):
        left + 1


@in_cuda_process
def test_tensors_say_that_they_are_on_the_device() -> None:
    with PretendedGpu() as gpu:
        for made in (
            torch.randn(3, device="cuda"),
            torch.ones(3).to("cuda"),
            torch.ones(3).cuda(),
            torch.tensor([1.0, 2.0, 3.0], device="cuda"),
            torch.zeros_like(torch.ones(3, device="cuda")),
        ):
            assert made.is_cuda and made.device == torch.device("cuda:0")
        assert not gpu.waits
        back = made.cpu()
        assert type(back) is torch.Tensor and gpu.waits.total() == 1


MIXED: list[Callable[[Tensor], Any]] = [
    lambda x: x + torch.ones(3),
    lambda x: torch.cat([x, torch.ones(1)]),
    lambda x: torch.stack([x.sum(), torch.ones(())]),
    lambda x: x[None] @ torch.ones(3, 1),
    lambda x: functional.linear(x[None], torch.ones(2, 3)),
    lambda x: torch.ones(3).mul_(x),
    lambda x: torch.ones(()).add_(x.sum()),
    lambda x: torch.ones(3) * x.sum(),
    lambda x: torch.ones(3)[x.long()],
    lambda x: torch.index_select(x, 0, torch.tensor([0])),
    lambda x: x.scatter_(0, torch.tensor([0]), 1.0),
    lambda x: torch.where(torch.ones(3, dtype=torch.bool), x, x),
    lambda x: x.masked_fill(torch.zeros(3, dtype=torch.bool), 0),
    lambda x: x.index_put_((torch.tensor([0, 1]),), torch.ones(2)),
    lambda x: torch._foreach_mul_([x], [torch.ones(3)]),
]


@in_cuda_process
def test_tensors_of_two_devices_are_refused() -> None:
    with PretendedGpu():
        for operation in MIXED:
            with pytest.raises(RuntimeError, match="same device"):
                operation(torch.ones(3, device="cuda"))


@in_cuda_process
def test_numbers_and_indices_of_the_host_are_taken() -> None:
    with PretendedGpu() as gpu:
        x = torch.ones(3, device="cuda")
        assert (x + torch.ones(())).is_cuda and (x * torch.tensor(2.0)).is_cuda
        assert not gpu.uploads
        assert x[torch.tensor([0, 1])].is_cuda and gpu.uploads.total() == 1
        x[torch.tensor([0])] = 5.0
        x[torch.tensor([True, False, False])] = torch.tensor(1.0)
        assert x.tolist() == [1.0, 1.0, 1.0]


@in_cuda_process
def test_numpy_is_refused() -> None:
    with PretendedGpu():
        x = torch.ones(2, device="cuda")
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            x.numpy()
        with pytest.raises(TypeError, match="cuda:0"):
            x.__array__()


@in_cuda_process
def test_generators_belong_to_a_device() -> None:
    with PretendedGpu():
        assert torch.Generator().device.type == "cpu"
        with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
            torch.rand(3, device="cuda", generator=torch.Generator())
        generator = torch.Generator(device="cuda").manual_seed(1)
        assert torch.rand(3, device="cuda", generator=generator).is_cuda
        assert generator.device.type == "cuda"


@in_cuda_process
def test_the_device_has_random_numbers_of_its_own() -> None:
    with PretendedGpu():
        torch.manual_seed(5)
        first = torch.rand(3, device="cuda")
        state = torch.cuda.get_rng_state()
        second = torch.rand(3, device="cuda")
        torch.cuda.set_rng_state(state)
        assert torch.equal(second, torch.rand(3, device="cuda"))
        assert not torch.equal(first, second)
        torch.manual_seed(5)
        before = torch.get_rng_state()
        dropped = functional.dropout(torch.ones(100, device="cuda"))
        assert torch.equal(before, torch.get_rng_state())
        assert 10 < float((dropped == 0).sum()) < 90


WAITING: list[tuple[Callable[[Tensor], Any], int]] = [
    (lambda x: x.sum().item(), 1),
    (lambda x: bool(x.any()), 1),
    (lambda x: float(x[0]), 1),
    (lambda x: x.tolist(), 1),
    (lambda x: x.cpu(), 1),
    (lambda x: x.to("cpu"), 1),
    (lambda x: torch.ones(4).copy_(x), 1),
    (lambda x: x.nonzero(), 1),
    (lambda x: x[x > 0], 1),
    (lambda x: torch.equal(x, x), 1),
    (lambda x: torch.allclose(x, x), 1),
    (lambda x: torch.cuda.synchronize(), 1),
    (lambda x: x.to("cpu", non_blocking=True), 0),
    (lambda x: x.masked_fill(x > 0, 1), 0),
    (lambda x: x * 2, 0),
    (lambda x: x.topk(2), 0),
    (lambda x: len(x), 0),
    (lambda x: torch.ones(4).to("cuda"), 0),
]


@in_cuda_process
def test_waits_of_the_host_are_counted_by_line() -> None:
    with PretendedGpu() as gpu:
        x = torch.ones(4, device="cuda")
        for number, (operation, waits) in enumerate(WAITING):
            gpu.clear()
            operation(x)
            assert gpu.waits.total() == waits, (number, gpu.waits)
        gpu.clear()
        x.sum().item()
        ((_, place),) = gpu.waits
        assert "test_instrument.py:" in place and place in gpu.report()
        with gpu.no_waits(), pytest.raises(RuntimeError, match="waits for the device.*instrument"):
            x.sum().item()


@in_cuda_process
def test_sums_in_no_fixed_order_are_counted_and_refused_where_the_order_must_be_fixed() -> None:
    with PretendedGpu() as gpu:
        x = torch.randn(1, 2, 7, 7, device="cuda", requires_grad=True)
        functional.adaptive_avg_pool2d(x, 3).sum().backward()
        assert gpu.unordered.total() == 1
        torch.use_deterministic_algorithms(True)
        try:
            with pytest.raises(RuntimeError, match="deterministic"):
                functional.adaptive_avg_pool2d(x, 3).sum().backward()
            with pytest.raises(RuntimeError, match="kthvalue does not have a deterministic"):
                x.detach().flatten().kthvalue(2)
            assert int(torch.ones(3, dtype=torch.int64, device="cuda").cumsum(0)[-1]) == 3
        finally:
            torch.use_deterministic_algorithms(False)


@in_cuda_process
def test_an_event_is_asked_only_after_a_wait() -> None:
    with PretendedGpu() as gpu:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        end.record()
        with pytest.raises(RuntimeError, match="not ready"):
            begin.elapsed_time(end)
        end.synchronize()
        assert begin.elapsed_time(end) > 0 and gpu.waits.total() == 1


@in_cuda_process
def test_gradients_of_gradients() -> None:
    with PretendedGpu():
        weight = torch.randn(4, 3, 3, 3, device="cuda", requires_grad=True)
        loss = functional.conv2d(torch.randn(2, 3, 8, 8, device="cuda"), weight).square().sum()
        (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), weight)
        assert second.is_cuda


@in_cuda_process
def test_kernels_of_a_step_are_counted() -> None:
    with PretendedGpu() as gpu:
        weights = [nn.Parameter(torch.ones(2, device="cuda")) for _ in range(65)]
        gpu.clear()
        torch._foreach_mul_([weight.data for weight in weights], 2.0)
        assert gpu.kernels["_foreach_mul_"] == 1  # one list, of up to 110 tensors
        torch._foreach_add_([w.data for w in weights], [w.data for w in weights])
        assert gpu.kernels["_foreach_add_"] == 2  # two lists, 64 tensors each
        weights[0].view(1, 2), weights[0].detach()
        assert gpu.kernels.total() == 3


class _Watch(TorchDispatchMode):
    """Another mode, which itself computes on the device whenever it sees an operation."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        moved = torch.arange(2).to("cuda").reshape(1, 2)
        self.devices.add(moved.device.type)
        return func(*args, **(kwargs or {}))


@in_cuda_process
def test_it_is_there_under_other_modes() -> None:
    with PretendedGpu() as gpu:
        x = torch.ones(2, device="cuda")
        with _Watch() as watch, torch.no_grad():
            x.relu()
        assert watch.devices == {"cuda"} and gpu.uploads.total() == 1


def _make_optimizer(kind: str, model: nn.Module) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, fused=True)
    if kind == "adam":
        return torch.optim.Adam(model.parameters(), fused=True)
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)


def _train(device: str, kind: str, precision: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(512, 4)).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _make_optimizer(kind, model)
    half = precision != torch.float32
    scaler = torch.amp.GradScaler(device, enabled=precision == torch.float16, init_scale=256.0)
    x = torch.randn(16, 3, 8, 8).to(device)
    y = (torch.arange(16) % 4).to(device)
    for _ in range(3):
        with torch.autocast(device, dtype=precision if half else None, enabled=half):
            logits = model(x)
        optimizer.zero_grad()
        scaler.scale(functional.cross_entropy(logits.float(), y)).backward()
        scaler.step(optimizer)
        scaler.update()
    return [value.detach().cpu() for value in model.state_dict().values()]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["sgd", "adam", "unfused"])
@in_cuda_process
def test_training_gives_the_numbers_of_the_cpu(kind: str, precision: torch.dtype) -> None:
    with PretendedGpu(A100):
        there = _train("cuda", kind, precision)
    here = _train("cpu", kind, precision)
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
