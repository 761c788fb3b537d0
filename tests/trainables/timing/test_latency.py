"""Timing one network: how often it is called, what is made of the times, and in what state it is
timed. No real times."""

import copy
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build
from pruning.masks import prunable
from trainables.storage import parquet_tables
from trainables.timing import latency
from trainables.timing.network_structure import Form

CPU = torch.device("cpu")
IMAGE = (3, 8, 8)


def form_of(name: str, density: float = 1.0, **change: Any) -> Form:
    model = build(name, image=IMAGE, classes=10)
    shapes = tuple((layer, tuple(weight.shape)) for layer, weight in prunable(model).items())
    kept = tuple(round(density * prod(shape)) for _, shape in shapes)
    return replace(Form(name, IMAGE, 10, shapes, kept, None, "fp32"), **change)


class Clock:
    """A clock that only moves when a call takes time."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def take(self, seconds: float) -> Callable[[], None]:
        """A call that takes so long; every third one ten times."""

        def call() -> None:
            self.calls += 1
            self.now += seconds * (10 if self.calls % 3 == 0 else 1)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency.time, "perf_counter", lambda: made.now)
    return made


def test_the_summary_is_that_of_numpy() -> None:
    times = np.random.default_rng(0).lognormal(size=37)
    found = latency.summarise(times.tolist(), 256, peak_bytes=5)
    low, median, high = np.percentile(times, [25, 50, 75])
    assert found.median_ms == pytest.approx(median) and found.iqr_ms == pytest.approx(high - low)
    assert found.images_per_second == pytest.approx(256 / (median / 1000))
    assert (found.runs, found.batch, found.peak_bytes) == (37, 256, 5)


@pytest.mark.parametrize(
    ("each", "runs", "timed", "warm"),
    [
        (0.001, 100, 100, 10),  # quick: all runs
        (0.001, 4, 4, 10),
        (1.0, 100, 10, 2),  # 20 s would hold 6, with every third of 10 s
        (30.0, 100, 10, 2),  # slow: the fewest that have quartiles
    ],
)
def test_runs_end_at_their_number_or_the_limit_but_never_under_ten(
    clock: Clock, each: float, runs: int, timed: int, warm: int
) -> None:
    found = latency.measure(clock.take(each), 8, device=CPU, runs=runs, seconds=20)
    assert (found.runs, clock.calls) == (timed, timed + warm)
    assert found.median_ms == pytest.approx(1000 * each), "the median passes over the slow third"
    assert found.peak_bytes is None


def test_the_limit_leaves_as_many_runs_as_fit(clock: Clock) -> None:
    found = latency.measure(clock.take(0.1), 1, device=CPU, runs=100, seconds=20)
    assert found.runs == 51, (
        "of 0.1, 0.1 and 1.0 s in turn 50 take 19.4 s, and the one begun then ends"
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_timed_computes_what_the_trial_evaluates(precision: Any) -> None:
    """Weights held in bf16 against weights in fp32 that autocast casts: bit for bit."""
    rebuilt, _ = form_of("resnet8").rebuild()
    plain = copy.deepcopy(rebuilt)
    out = latency.make_call(rebuilt, IMAGE, batch=4, precision=precision, device=CPU)()
    x = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(4)).to(
        memory_format=torch.channels_last
    )
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        expected = plain.eval()(x)
    assert torch.equal(out, expected) and out.dtype == expected.dtype
    assert out.is_inference()


def test_weights_are_held_in_the_precision_and_statistics_in_fp32() -> None:
    rebuilt, _ = form_of("resnet8").rebuild()
    rebuilt.train()
    seen: list[Tensor] = []
    rebuilt.get_submodule("conv").register_forward_pre_hook(
        lambda _m, inputs: seen.append(inputs[0])
    )
    latency.make_call(rebuilt, IMAGE, batch=2, precision="bf16", device=CPU)()
    assert not rebuilt.training
    assert seen[0].shape == (2, *IMAGE) and seen[0].is_contiguous(memory_format=torch.channels_last)
    for module in rebuilt.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.dtype == torch.bfloat16
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.dtype == torch.float32 and module.running_var is not None
            assert module.running_var.dtype == torch.float32


def test_threads_are_set_and_put_back_whatever_happens() -> None:
    def fail() -> None:
        with latency.threads_set(3):
            assert torch.get_num_threads() == 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == 1


def test_a_form_is_timed_at_each_batch_and_told_in_the_columns_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []

    def measure(call: Callable[[], Tensor], batch: int, **how: Any) -> latency.Timing:
        seen.append((torch.get_num_threads(), call().shape))
        assert (how["runs"], how["seconds"]) == (7, 3.0)
        return latency.summarise([1.0, 2.0, 3.0], batch)

    monkeypatch.setattr(latency, "measure", measure)
    form = form_of("resnet8", 0.5, precision="bf16")
    rows = latency.measure_form(form, device=CPU, threads=2, batches=(1, 16), runs=7, seconds=3.0)
    assert seen == [(2, (1, 10)), (2, (16, 10))] and torch.get_num_threads() == 1
    table = parquet_tables.decode("latency", parquet_tables.encode("latency", rows)).to_pylist()
    assert [(row["batch"], row["median_ms"], row["images_per_second"]) for row in table] == [
        (1, 2, 500),
        (16, 2, 8000),
    ]
    for row in table:
        assert (row["form"], row["zeros"], row["device"], row["threads"]) == (
            "masked",
            form.zeros,
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
    make = latency.make_call

    def make_call(
        model: nn.Module, image: tuple[int, int, int], **how: Any
    ) -> Callable[[], Tensor]:
        if how["batch"] == 256:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return make(model, image, **how)

    monkeypatch.setattr(latency, "make_call", make_call)
    small, large = latency.measure_form(form_of("mlp"), device=CPU, threads=1, runs=2)
    assert small["median_ms"] > 0 and small["notes"] == ""
    assert (
        large["notes"] == "out of GPU memory" and "median_ms" not in large and large["batch"] == 256
    )


class Sparse:
    """Stands in for the GPU's semi-structured weights: takes what `fits` and computes with the
    dense weight."""

    def __init__(self, fits: Callable[[Tensor], bool]) -> None:
        self.fits, self.taken = fits, list[tuple[int, ...]]()

    def __call__(self, weight: Tensor) -> Tensor:
        if not self.fits(weight):
            raise RuntimeError(
                f"Error original_tensor.shape {tuple(weight.shape)} is not supported!\nmore"
            )
        self.taken.append(tuple(weight.shape))
        return weight.clone()


def pattern_form() -> Form:
    """simple_cnn with 2:4 wherever it fits: not in the first convolution, which has 3 input
    channels."""
    dense = form_of("simple_cnn")
    kept = tuple(prod(shape) // (2 if shape[1] % 4 == 0 else 1) for _, shape in dense.shapes)
    return replace(dense, kept=kept, pattern=(2, 4))


def test_2_to_4_kernels_serve_the_linear_layers_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = Sparse(lambda weight: len(weight) % 32 == 0)  # fc1 has 128 rows, fc2 has 10
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", sparse)
    row, _ = latency.measure_form(pattern_form(), device=CPU, threads=1, runs=2)
    assert row["form"] == "2:4"
    assert row["notes"] == "2:4 kernels for fc1.weight; dense ones for the rest"
    assert sparse.taken == [(128, 1024)]


def test_a_kernel_that_fails_when_called_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def crooked(weight: Tensor) -> Tensor:
        return weight[:, 1:]

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", crooked)
    model, _ = pattern_form().rebuild()
    before = {name: weight.clone() for name, weight in prunable(model).items()}
    label, note = latency.use_sparse_kernels(model, pattern_form(), CPU)
    assert label == "masked" and note.startswith("dense kernels: fc2.weight: ")
    assert all(torch.equal(weight, before[name]) for name, weight in prunable(model).items())


def test_without_kernels_the_form_is_masked_and_the_note_says_why() -> None:
    row, _ = latency.measure_form(pattern_form(), device=CPU, threads=1, runs=2)
    assert row["form"] == "masked"
    assert "Only CUDA tensors are currently supported" in row["notes"] and "\n" not in row["notes"]
    kept = tuple(prod(shape) // 4 for _, shape in form_of("mlp").shapes)
    row, _ = latency.measure_form(
        form_of("mlp", kept=kept, pattern=(1, 4)), device=CPU, threads=1, runs=2
    )
    assert (row["form"], row["notes"]) == (
        "masked",
        "dense kernels: PyTorch has sparse ones for 2:4 only",
    )
    dense_fc = pattern_form()
    dense_fc = replace(
        dense_fc, kept=(*dense_fc.kept[:2], *(prod(shape) for _, shape in dense_fc.shapes[2:]))
    )
    row, _ = latency.measure_form(dense_fc, device=CPU, threads=1, runs=2)
    unfit, _ = latency.measure_form(form_of("mlp", pattern=(2, 4)), device=CPU, threads=1, runs=2)
    assert (unfit["form"], unfit["notes"]) == ("dense", "")
    assert row["notes"].endswith(
        "no sparse ones for convolutions, and no linear layer has the pattern"
    )


def test_on_a_gpu_events_enclose_the_call_on_an_idle_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []

    class Event:
        made = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.name = ("start", "end")[Event.made]
            Event.made += 1

        def record(self, stream: object) -> None:
            happened.append(f"{self.name} on {stream}")

        def synchronize(self) -> None:
            happened.append(f"wait for {self.name}")

        def elapsed_time(self, other: "Event") -> float:
            assert (self.name, other.name, happened[-1]) == ("start", "end", "wait for end")
            return 1.25

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append("idle"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "stream")
    assert latency.time_once(lambda: happened.append("call"), torch.device("cuda")) == 1.25
    assert happened == ["idle", "start on stream", "call", "end on stream", "wait for end"]


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="this machine has no GPU")
def test_on_a_real_gpu_the_peak_holds_at_least_the_weights() -> None:
    form = form_of("resnet8", precision="fp32")
    small, large = latency.measure_form(form, device=torch.device("cuda"), threads=1, runs=5)
    weights = 4 * sum(prod(shape) for _, shape in form.shapes)
    assert weights < small["peak_bytes"] < large["peak_bytes"]
    assert small["median_ms"] > 0 and small["device"] == torch.cuda.get_device_name()
