"""Compiled training: when it is chosen, what runs compiled, and what happens where it fails."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd

from models.model_registry import build_model
from pruning.phases import Measure, Phase, Prune, Train
from trainables.environment import Environment
from trainables.phase_runner import PhaseRunner
from trainables.training import compile
from trainables.training.compile import (
    STEPS,
    CompiledForward,
    can_compile,
    choose_compiled,
    count_trained_networks,
)
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

CPU = torch.device("cpu")
CONVOLUTIONS = nn.Sequential(nn.Conv2d(1, 2, 3))


@pytest.fixture
def graphs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile traces and differentiates the graph, but runs it by PyTorch's own kernels: no
    compiler needed."""
    monkeypatch.setattr(compile, "can_compile", lambda device: True)
    monkeypatch.setattr(
        torch, "compile", lambda model, **options: _whole(model, backend="aot_eager", dynamic=False)
    )


_whole = partial(torch.compile)


def spec(model: str = "simple_cnn", **recipe: Any) -> TrialSpec:
    fields = {"epochs": 2, "precision": "fp32", **recipe}
    return TrialSpec(dataset="digits", model=model, method="dense", seed=0, recipe=Recipe(**fields))


@pytest.mark.parametrize(
    ("asked", "model", "steps", "chosen"),
    [
        ("auto", CONVOLUTIONS, STEPS, True),
        ("auto", CONVOLUTIONS, STEPS - 1, False),
        ("auto", nn.Linear(2, 2), STEPS, False),
        (True, nn.Linear(2, 2), 0, True),
        (False, CONVOLUTIONS, STEPS, False),
    ],
)
def test_compiling_is_decided_by_counts(
    asked: Any, model: nn.Module, steps: int, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "can_compile", lambda device: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_compiled(asked, model, steps=steps, device=CPU) is chosen


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, False), ({}, False)],
)
def test_a_cpu_without_amx_stays_eager(
    capabilities: dict[str, bool], chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "can_compile", lambda device: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_compiled("auto", CONVOLUTIONS, steps=STEPS, device=CPU) is chosen
    assert choose_compiled("auto", CONVOLUTIONS, steps=STEPS, device=torch.device("cuda"))


HRANK = [
    *(phase for level in (1, 2, 3) for phase in (Prune(0.5), Train("retrain", 30), Measure(0.5))),
    Train("retrain", 30),
]


@pytest.mark.parametrize(
    ("phases", "smaller", "networks"),
    [
        ([Train("train", 5), Measure(None)], False, 1),
        (HRANK, True, 3),
        (HRANK, False, 1),
        ([Train("train", 5), Prune(0.5), Train("retrain", 5), Measure(0.5)], True, 2),
        ([Prune(0.5), Train("train", 0), Measure(0.5)], True, 1),
    ],
)
def test_every_network_that_is_trained_is_counted(
    phases: list[Phase], smaller: bool, networks: int
) -> None:
    assert count_trained_networks(phases, smaller=smaller) == networks


def test_a_trial_of_many_short_trainings_stays_eager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compile, "can_compile", lambda device: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(compile, "STEPS", 16)  # more than one training of 8 steps
    for method, compiled in (("lottery_ticket", True), ("hrank", False)):
        trial = TrialSpec(
            dataset="digits",
            model="simple_cnn",
            method=method,
            sparsities=(0.5,),
            seed=0,
            knobs={"layer_epochs": 1} if method == "hrank" else {},
            recipe=Recipe(epochs=2, batch=400),
            retrain=Recipe(epochs=2, batch=400),
        )
        runner = PhaseRunner(trial, Environment(store=str(tmp_path)))
        assert runner.network.compiled is compiled, method


def test_without_a_compiler_auto_trains_eagerly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert not can_compile(CPU)
    assert not choose_compiled("auto", CONVOLUTIONS, steps=STEPS, device=CPU)
    (tmp_path / "c++").write_text("#!/bin/sh\n")
    (tmp_path / "c++").chmod(0o755)
    assert can_compile(CPU)


@pytest.mark.parametrize("by_rule", [True, False])
def test_the_compiler_for_a_gpu_times_no_kernels_where_they_are_chosen_by_rule(
    by_rule: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config as inductor

    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: by_rule)
    with inductor.patch(deterministic=not by_rule):
        CompiledForward(nn.Linear(2, 2), batch=4, device=CPU, lenient=False)
        assert inductor.deterministic is not by_rule
        CompiledForward(nn.Linear(2, 2), batch=4, device=torch.device("cuda"), lenient=False)
        assert inductor.deterministic is by_rule


def test_only_full_batches_run_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def compile_(model: Callable[[Tensor], Tensor], **options: Any) -> Callable[[Tensor], Tensor]:
        return lambda x: calls.append(len(x)) or model(x)  # type: ignore[func-returns-value]

    monkeypatch.setattr(torch, "compile", compile_)
    model = nn.Linear(3, 2)
    forward = CompiledForward(model, batch=4, device=CPU, lenient=False)
    for size in (4, 4, 3):
        assert torch.equal(forward(torch.ones(size, 3)), model(torch.ones(size, 3)))
    assert calls == [4, 4]


def _broken(model: object, **options: Any) -> Callable[[Tensor], Tensor]:
    def call(*given: object) -> Tensor:
        raise RuntimeError("no\ncompiler works")

    return call


def _broken_backward(model: Any, **options: Any) -> Any:
    """The forward pass can be compiled, the backward pass cannot."""
    backend = aot_autograd(fw_compiler=lambda graph, inputs: graph, bw_compiler=_broken(None))
    return _whole(model, backend=backend, dynamic=False)


@pytest.mark.parametrize("compile_", [_broken, _broken_backward])
def test_auto_goes_on_eagerly_where_compiling_fails_and_the_row_says_so(
    compile_: Any, open_trial: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = open_trial(spec("resnet8", epochs=1, compile=False), tmp_path / "plain")
    plain.run()
    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compile, "STEPS", 1)
    monkeypatch.setattr(compile, "can_compile", lambda device: True)
    monkeypatch.setattr(compile, "_gains", lambda device: True)
    trial = open_trial(spec("resnet8", epochs=1), tmp_path / "auto")
    assert trial.runner.network.compiled
    trial.run()
    row = trial.records.rows[-1]
    assert row["compiled"] is False
    assert row["notes"].startswith("trained without torch.compile, which failed: ")
    assert "RuntimeError: no compiler works" in row["notes"]
    assert row["digest"] == plain.records.rows[-1]["digest"]


def test_asked_for_a_failing_compiler_is_an_error(
    open_trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", _broken)
    with pytest.raises(RuntimeError, match="no\ncompiler works"):
        open_trial(spec(compile=True)).run()


@pytest.mark.usefixtures("graphs_only")
def test_a_compiled_trial_learns_what_an_eager_one_does_and_continues_as_it_was(
    open_trial: Any, tmp_path: Path
) -> None:
    eager = open_trial(spec(epochs=1, compile=False), tmp_path / "eager")
    eager.run()
    whole = open_trial(spec(epochs=1, compile=True), tmp_path / "whole")
    whole.run()
    cut = open_trial(spec(epochs=1, compile=True), tmp_path / "cut")
    cut.advance(lambda: cut.runner.batches == 5)
    cut.save()
    again = open_trial(spec(epochs=1, compile=True), tmp_path / "cut")
    assert again.start == 5
    again.run()
    first, other = whole.records.rows[-1], again.records.rows[-1]
    assert first["compiled"] and first["digest"] == other["digest"]
    losses = [[point["loss"] for point in trial.records.curves] for trial in (eager, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.slow
@pytest.mark.skipif(
    not can_compile(CPU), reason="torch.compile needs a C++ compiler on the CPU, and there is none"
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_code_computes_what_the_eager_network_does(precision: str) -> None:
    """In fp32 to rounding; in bf16 as near to fp32 as eager bf16 is, which depends on the CPU."""
    torch.manual_seed(0)
    # Every kernel takes the compiler a second.
    model = build_model("tests.contract.small_networks:residual", image=(1, 8, 8), classes=10)
    model.train()
    forward = CompiledForward(model, batch=8, device=CPU, lenient=False)
    x = torch.randn(8, 1, 8, 8)

    def compute(call: Callable[[torch.Tensor], torch.Tensor], *, bf16: bool) -> list[torch.Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = call(x)
        logits.float().square().sum().backward()
        return [logits.detach().float(), model.get_parameter("stem.weight").grad.clone()]

    exact = compute(model, bf16=False)
    compiled = compute(forward, bf16=precision == "bf16")
    eager = compute(model, bf16=precision == "bf16")
    for one, other, true in zip(compiled, eager, exact, strict=True):
        off, usual = (float((values - true).norm() / true.norm()) for values in (one, other))
        assert off < (1e-4 if precision == "fp32" else 2 * usual), (off, usual)
        assert precision == "fp32" or 0 < usual < 0.5
