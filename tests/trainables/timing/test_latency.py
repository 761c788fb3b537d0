"""Timing one network: in what state it is timed, and the columns that come of it."""

import copy
from collections.abc import Callable
from math import prod
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from tests.trainables.timing.structures import CPU, IMAGE, structure_of
from trainables.storage import parquet_tables
from trainables.timing import latency, stopwatch
from trainables.timing.cuda_graph import GRAPHED


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_timed_computes_what_the_trial_evaluates(precision: Any) -> None:
    """Weights held in bf16 against weights in fp32 that autocast casts: bit for bit."""
    rebuilt, _ = structure_of("resnet8").rebuild()
    plain = copy.deepcopy(rebuilt)
    out = latency.make_forward_call(rebuilt, IMAGE, batch=4, precision=precision, device=CPU)()
    x = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(4)).to(
        memory_format=torch.channels_last
    )
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        expected = plain.eval()(x)
    assert torch.equal(out, expected) and out.dtype == expected.dtype
    assert out.is_inference()


def test_weights_are_held_in_the_precision_and_statistics_in_fp32() -> None:
    rebuilt, _ = structure_of("resnet8").rebuild()
    rebuilt.train()
    seen: list[Tensor] = []
    rebuilt.get_submodule("conv").register_forward_pre_hook(
        lambda _m, inputs: seen.append(inputs[0])
    )
    latency.make_forward_call(rebuilt, IMAGE, batch=2, precision="bf16", device=CPU)()
    assert not rebuilt.training
    assert seen[0].shape == (2, *IMAGE) and seen[0].is_contiguous(memory_format=torch.channels_last)
    for module in rebuilt.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.dtype == torch.bfloat16
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.dtype == torch.float32 and module.running_var is not None
            assert module.running_var.dtype == torch.float32


def test_a_structure_is_timed_at_each_batch_and_becomes_rows_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []

    def measure(call: Callable[[], Tensor], batch: int, **how: Any) -> stopwatch.Timing:
        seen.append((torch.get_num_threads(), call().shape))
        assert (how["runs"], how["seconds"]) == (7, 3.0)
        return stopwatch.summarise_times([1.0, 2.0, 3.0], batch)

    monkeypatch.setattr(latency, "time_calls", measure)
    structure = structure_of("resnet8", 0.5, precision="bf16")
    rows = latency.time_structure(
        structure, device=CPU, threads=2, batches=(1, 16), runs=7, seconds=3.0
    )
    assert seen == [(2, (1, 10)), (2, (16, 10))] and torch.get_num_threads() == 1
    table = parquet_tables.decode_table(
        "latency", parquet_tables.encode_table("latency", rows)
    ).to_pylist()
    assert [(row["batch"], row["median_ms"], row["images_per_second"]) for row in table] == [
        (1, 2, 500),
        (16, 2, 8000),
    ]
    for row in table:
        assert (row["form"], row["zeros"], row["device"], row["threads"]) == (
            "masked",
            structure.zeros,
            "cpu",
            2,
        )
        assert (row["precision"], row["notes"], row["peak_bytes"], row["runs"]) == (
            "bf16",
            "",
            None,
            3,
        )
        assert row["versions"] and row["host"] and row["finished"]


def test_a_batch_that_does_not_fit_has_no_times_and_the_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = latency.make_forward_call

    def make_forward_call(
        model: nn.Module, image: tuple[int, int, int], **how: Any
    ) -> Callable[[], Tensor]:
        if how["batch"] == 256:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return make(model, image, **how)

    monkeypatch.setattr(latency, "make_forward_call", make_forward_call)
    small, large = latency.time_structure(structure_of("mlp"), device=CPU, threads=1, runs=2)
    assert small["median_ms"] > 0 and small["notes"] == ""
    assert (
        large["notes"] == "out of GPU memory" and "median_ms" not in large and large["batch"] == 256
    )


@in_cuda_process
def test_on_a_gpu_a_structure_is_timed_as_a_graph_and_its_row_says_so() -> None:
    device, launches = torch.device("cuda"), list[int]()
    with PretendedGpu() as gpu:

        def count(run: Callable[[], Any], batch: int, **how: Any) -> stopwatch.Timing:
            gpu.clear()
            run()
            launches.append(gpu.kernels.total())
            return time_calls(run, batch, **how)

        time_calls = latency.time_calls
        with mock.patch.object(latency, "time_calls", count):
            rows = latency.time_structure(
                structure_of("resnet8"), device=device, threads=1, batches=(1, 4), runs=2, seconds=0
            )
    assert launches == [1, 1], "of one kernel after the other there would be dozens"
    assert [row["notes"] for row in rows] == [GRAPHED, GRAPHED]


@in_cuda_process
def test_the_peak_is_that_of_a_pass_and_not_of_a_replay_which_asks_for_no_memory() -> None:
    structure = structure_of("resnet8")
    weights = 4 * sum(prod(shape) for _, shape in structure.shapes)
    x = 4 * 16 * prod(IMAGE)
    replay = mock.Mock(return_value=None), GRAPHED
    with PretendedGpu(), mock.patch.object(latency, "capture", return_value=replay):
        (row,) = latency.time_structure(
            structure, device=torch.device("cuda"), threads=1, batches=(16,), runs=2, seconds=0
        )
    # The first layer alone makes 16 channels of 3.
    assert row["peak_bytes"] > weights + x * (1 + 16 / 3)


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="this machine has no GPU")
def test_on_a_real_gpu_the_peak_holds_at_least_the_weights() -> None:
    structure = structure_of("resnet8", precision="fp32")
    small, large = latency.time_structure(structure, device=torch.device("cuda"), threads=1, runs=5)
    weights = 4 * sum(prod(shape) for _, shape in structure.shapes)
    assert weights < small["peak_bytes"] < large["peak_bytes"]
    assert small["median_ms"] > 0 and small["device"] == torch.cuda.get_device_name()
