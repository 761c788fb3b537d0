"""The latency pass over a finished study: nothing twice, nothing lost, and alone on its node."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import ray
import torch
import yaml

from pruning.user_error import UserError
from sweeps.planning.plan import Plan, make_plan
from sweeps.running import latency_pass as passes
from sweeps.running.latency_pass import (
    TimingResult,
    describe_timing,
    run_latency_pass,
    time_on_free_node,
    time_structures,
)
from sweeps.study_file.study_fields import Resources
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from tests.sweeps.running.timed_study import FORMS, LEVELS, ROOT, STUDY, Study, build
from tests.trainables.timing.structures import structure_of
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.timing.network_structure import NetworkStructure
from trainables.trial import Trial


def test_every_level_is_measured_and_equal_forms_share(timed: Study) -> None:
    assert timed.walk() == {}
    table = timed.table()
    assert len(timed.timed) == FORMS == len({form.timing_key for form in timed.timed})
    assert len(table) == 2 * LEVELS
    rows = [
        row
        for key in timed.plan.by_key
        for row in parquet_tables.read_table(timed.store, "rows", key).to_pylist()
    ]
    places = {(row["key"], row["level"], row["stage"]) for row in rows}
    assert {(row["key"], row["level"], row["stage"], row["batch"]) for row in table} == {
        (*place, batch) for place in places for batch in (1, 256)
    }
    by_method: dict[str, set[tuple[str, str]]] = {}
    for row in table:
        by_method.setdefault(row["key"].split("/")[1], set()).add((row["form"], row["measured_on"]))
        assert row["median_ms"] > 0 and row["images_per_second"] == pytest.approx(
            1000 * row["batch"] / row["median_ms"]
        )
        assert (row["runs"], row["threads"], row["precision"], row["device"]) == (
            2,
            1,
            "fp32",
            "cpu",
        )
    assert {method: {form for form, _ in seen} for method, seen in by_method.items()} == {
        "dense": {"dense"},
        "magnitude": {"masked"},
        "l1_filter": {"smaller"},
        "lottery_ticket": {"masked"},
        "wanda": {"masked"},
    }
    for method, seen in by_method.items():
        (source,) = {on for _, on in seen}
        assert source.split("/")[1] == method and "seed0" in source, "both seeds rest on the first"
    own, shared = ([row for row in table if f"/seed{seed}-" in row["key"]] for seed in (0, 1))
    assert [row["median_ms"] for row in own] == [row["median_ms"] for row in shared]
    assert len(timed.printed) == FORMS and timed.printed[0].startswith(
        "[1/6] mlp on 1x8x8, fp32, dense: batch 1 "
    )
    assert timed.printed[0].endswith("; for 2 levels")


def test_a_second_pass_measures_nothing(timed: Study) -> None:
    timed.walk()
    before = {path: timed.store.read(path) for path in timed.store.list("latency")}
    assert timed.missing() == [] and timed.walk() == {}
    assert len(timed.timed) == FORMS
    assert {path: timed.store.read(path) for path in timed.store.list("latency")} == before


def test_an_interrupted_pass_keeps_what_is_whole_and_the_next_does_the_rest(timed: Study) -> None:
    def stop_after(count: int) -> Callable[[Sequence[NetworkStructure]], Iterator[TimingResult]]:
        def time(forms: Sequence[NetworkStructure]) -> Iterator[TimingResult]:
            for index, result in enumerate(timed.time(forms)):
                if index == count:
                    raise KeyboardInterrupt
                yield result

        return time

    order = [form.timing_key for form in timed.structures()]
    with pytest.raises(KeyboardInterrupt):
        timed.walk(stop_after(2))
    written = {path: timed.store.read(path) for path in timed.store.list("latency")}
    assert 2 <= len(written) < len(timed.plan.trials), "dense, and what needs no third form"
    timed.timed.clear()
    assert timed.walk() == {}
    assert timed.missing() == []
    assert order[0] not in {form.timing_key for form in timed.timed}, (
        "the dense form is measured in the first pass only"
    )
    assert {path: timed.store.read(path) for path in written} == written


def test_another_seed_measures_only_its_own_trials(timed: Study, finished: Path) -> None:
    timed.walk()
    grown = Study(finished, build(seeds=[0, 1, 2], methods=["magnitude"]))
    for trial in grown.plan.trials:
        Trial(trial.spec, Environment(store=str(finished))).run()
    written = set(grown.store.list("latency"))
    assert grown.walk() == {}
    assert len(grown.timed) == 2
    new = set(grown.store.list("latency")) - written
    assert len(new) == 2 and all("seed2" in path for path in new)
    for path in ("rows", "layers", "curves", "artifacts"):
        for file in grown.store.list(path):
            if "seed2" in file:
                grown.store.delete(file)


def test_a_form_that_fails_costs_its_trials_only(timed: Study) -> None:
    def time(forms: Sequence[NetworkStructure]) -> Iterator[TimingResult]:
        for form, result in zip(forms, timed.time(forms), strict=True):
            yield "RuntimeError: no" if form.pattern else result

    refused = timed.walk(time)
    assert len(refused) == 2 and set(refused.values()) == {"RuntimeError: no"}
    assert all("/wanda/" in key for key in refused)
    assert timed.missing() == list(refused)
    assert "NOT TIMED: RuntimeError: no; for 4 levels" in timed.printed[-1]


def test_a_fault_in_timing_is_the_result_of_that_form(timed: Study) -> None:
    good = timed.structures()[0]
    first, second = time_structures(
        [replace(good, classes=11), good], gpu=False, threads=1, runs=2, seconds=0
    )
    assert isinstance(first, str) and first.startswith(
        "UserError: model 'mlp' must have the layers"
    )
    assert isinstance(second, list) and second[0]["median_ms"] > 0


@in_cuda_process
def test_on_a_gpu_fp32_is_timed_as_fp32() -> None:
    """By itself torch lets convolutions run in TF32."""
    seen: list[tuple[bool, str]] = []

    def look(structure: NetworkStructure, **how: Any) -> list[dict[str, Any]]:
        precise = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
        seen.append(precise)
        return []

    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    with PretendedGpu(), mock.patch.object(passes.latency, "time_structure", look):
        assert list(time_structures([structure_of("mlp")], gpu=True, threads=1)) == [[]]
    assert seen == [(False, "highest")]


@contextmanager
def no_cluster(address: str | None) -> Iterator[bool]:
    yield True


def test_a_measured_study_needs_no_cluster(
    timed: Study, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    timed.walk()
    monkeypatch.setattr(passes, "connected", None)
    assert run_latency_pass(timed.spec, timed.plan, timed.done, timed.store, address="local")
    assert capsys.readouterr().out == f"latency: all {len(timed.plan.trials)} trials are timed\n"


def test_trials_that_are_not_done_are_counted_and_left_out(
    timed: Study, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(passes, "connected", no_cluster)
    monkeypatch.setattr(passes, "find_shortage", lambda resources: None)
    monkeypatch.setattr(passes, "time_on_free_node", lambda forms, resources: timed.time(forms))
    done = frozenset(key for key in timed.done if "/wanda/" not in key)
    assert run_latency_pass(timed.spec, timed.plan, done, timed.store, address=None)
    assert "latency: 2 of 10 trials are not done and left out" in capsys.readouterr().out
    assert len(timed.store.list("latency")) == 8


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_lost_node_is_survived_twice(
    timed: Study, failures: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    left = [failures]

    def time(forms: Sequence[NetworkStructure], resources: Resources) -> Iterator[TimingResult]:
        for index, result in enumerate(timed.time(forms)):
            if index == 1 and left[0]:
                left[0] -= 1
                raise ray.exceptions.WorkerCrashedError
            yield result

    monkeypatch.setattr(passes, "connected", no_cluster)
    monkeypatch.setattr(passes, "find_shortage", lambda resources: None)
    monkeypatch.setattr(passes, "time_on_free_node", time)
    if failures < 3:
        assert run_latency_pass(timed.spec, timed.plan, timed.done, timed.store, address=None)
        assert timed.missing() == []
    else:
        with pytest.raises(UserError, match="lost its node 3 times"):
            run_latency_pass(timed.spec, timed.plan, timed.done, timed.store, address=None)
    assert capsys.readouterr().out.count("the node was lost; going on") == failures


def test_a_cluster_that_is_too_small_is_a_mistake(
    timed: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "connected", no_cluster)
    monkeypatch.setattr(
        passes, "find_shortage", lambda resources: "a trial asks for 1 GPUs, but there are 0"
    )
    with pytest.raises(UserError, match="a trial asks for 1 GPUs"):
        run_latency_pass(timed.spec, timed.plan, timed.done, timed.store, address="local")


@pytest.mark.parametrize(("gpus", "taken"), [(0, 0), (0.25, 1)])
def test_the_task_asks_for_all_cpus_of_the_node_on_which_a_trial_fits(
    gpus: float, taken: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Remote:
        def __init__(self, function: Callable[..., Any]) -> None:
            self.function = function

        def options(self, **how: Any) -> "Remote":
            asked.append((self.function.__name__, how))
            return self

        def remote(self, *arguments: Any, **named: Any) -> Any:
            return (
                second if self.function.__name__ == "_get_node_id" else iter([(arguments, named)])
            )

    first, second = "a" * 56, "b" * 56
    nodes = [
        {"NodeID": name, "Resources": {"CPU": cpus}}
        for name, cpus in ((first, 4.0), (second, 16.0))
    ]
    monkeypatch.setattr(ray, "remote", Remote)
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    (seen,) = time_on_free_node([], Resources(cpus_per_trial=2.5, gpus_per_trial=gpus))
    assert seen == (([],), {"gpu": bool(gpus), "threads": 2})
    (_, find), (name, whole) = asked
    assert find == {"num_cpus": 2.5, "num_gpus": taken}
    assert (name, whole["num_cpus"], whole["num_gpus"]) == ("time_structures", 16.0, taken)
    assert (whole["scheduling_strategy"].node_id, whole["scheduling_strategy"].soft) == (
        second,
        False,
    )
    assert "alone on a node with 16 CPUs" in capsys.readouterr().out


def test_a_line_tells_what_was_not_measured_at_one_batch_size(timed: Study) -> None:
    form = timed.structures()[0]
    good = {
        "form": "dense",
        "batch": 1,
        "median_ms": 1.234,
        "iqr_ms": 0.1,
        "runs": 100,
        "images_per_second": 810.4,
    }
    printed = describe_timing(
        form, [good, {"form": "dense", "batch": 256, "notes": "out of GPU memory"}], 1
    )
    assert printed == (
        "mlp on 1x8x8, fp32, dense: batch 1 1.23 ms (IQR 0.1, 100 runs, 810 images/s), "
        "batch 256 not timed: out of GPU memory"
    )


@pytest.mark.slow
def test_from_the_command_line_in_a_worker_of_its_own(finished: Path, tmp_path: Path) -> None:
    """On Ray: the process that times is one, and not the driver."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**STUDY, "methods": ["magnitude"]}))
    plan: Plan = make_plan(build(methods=["magnitude"]))
    words = ["--study", "study.yaml", "--out", str(finished), "--address", "local", "--measure"]
    driver = subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps/full_study.py"), *words],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = driver.communicate(timeout=480)
    assert driver.returncode == 0, printed
    assert "latency: 2 networks to time, alone on a node with " in printed
    assert "[2/2] mlp on 1x8x8, fp32, masked, 50 % zeros: batch 1 " in printed
    store = Store.at(finished)
    rows = [
        r
        for key in plan.by_key
        for r in parquet_tables.decode_table(
            "latency", store.read(f"latency/{key}.parquet")
        ).to_pylist()
    ]
    assert len(rows) == 8 and {row["runs"] for row in rows} == {100}
    pids = {int(row["host"].rpartition(":")[2]) for row in rows}
    assert len(pids) == 1 and pids.isdisjoint({driver.pid, os.getpid()})
    store.delete("latency")
