"""A trial of two ranks on a CPU: it is the trial of one rank but for rounding, equal to itself when
either rank is killed, and says why a rank was lost."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from trainables import rank_processes
from trainables.environment import Environment
from trainables.rank_processes import RankedTrial, open_trial
from trainables.training.ranks import RankLostError, RanksDifferError
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec, needs_dense, rewind_epochs_of

ROOT = Path(__file__).resolve().parents[2]
# 1,295 images: seven batches of 185, of which a rank has 92 and the other 93.
RECIPE = Recipe(epochs=2, batch=185, lr=1.0, precision="fp32")


def make_spec(
    method: str, model: str = "plain", recipe: Recipe = RECIPE, **fields: Any
) -> TrialSpec:
    return TrialSpec(
        dataset="digits",
        model=f"tests.networks.for_ranks:{model}",
        method=method,
        seed=3,
        recipe=recipe,
        **fields,
    )


@pytest.fixture
def open_ranks(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Opens a trial of so many ranks in a study directory; its processes end with the test."""
    opened: list[Trial] = []

    def open_in(spec: TrialSpec, ranks: int = 2, study: str = "study", **options: Any) -> Trial:
        environment = Environment(store=str(tmp_path / study), ranks=ranks, **options)
        opened.append(open_trial(spec, environment))
        return opened[-1]

    yield open_in
    for trial in opened:
        trial.close()
    assert not distributed.is_initialized()


def run_with_parent(spec: TrialSpec, open_ranks: Callable[..., Trial], ranks: int) -> Trial:
    """A trial that is done, in a study directory of that many ranks, after the dense one if it
    needs that."""
    study, phases = f"{ranks} ranks", spec.phases((1, 8, 8), 10)
    if needs_dense(spec.build_method(), phases):
        open_ranks(dense_spec(spec, rewind_epochs_of(phases)), ranks, study).run()
    trial = open_ranks(spec, ranks, study)
    trial.run()
    return trial


def largest_difference(trial: Trial, other: Trial) -> float:
    """Of any weight or buffer, as a part of the largest of its tensor."""
    tensors = other.runner.network.model.state_dict()
    return max(
        float((value - tensors[name]).abs().max() / value.abs().max().clamp_min(1e-3))
        for name, value in trial.runner.network.model.state_dict().items()
        if value.is_floating_point()
    )


def outcome(trial: Trial) -> tuple[Any, ...]:
    """What must be equal bit for bit in two runs of a trial."""
    row = trial.records.rows[-1]
    losses = [(curve["split"], curve["epoch"], curve["loss"]) for curve in trial.records.curves]
    return row["digest"], row["test_loss"], row["test_top1"], losses


@pytest.mark.parametrize(
    ("method", "model", "fields"),
    [
        pytest.param(
            "lottery_ticket",
            "plain",
            {"sparsities": (0.2, 0.36), "knobs": {"levels": 2}},
            marks=pytest.mark.slow,
        ),
        ("l1_filter", "with_norm", {"sparsities": (0.5,), "retrain": RECIPE}),
        pytest.param(
            "magnitude", "plain", {"sparsities": (0.8,), "retrain": RECIPE}, marks=pytest.mark.slow
        ),
        pytest.param("gmp", "plain", {"sparsities": (0.8,)}, marks=pytest.mark.slow),
        pytest.param("rigl", "with_norm", {"sparsities": (0.8,)}, marks=pytest.mark.slow),
        pytest.param("snip", "with_norm", {"sparsities": (0.8,)}, marks=pytest.mark.slow),
    ],
)
def test_two_ranks_are_one_but_for_rounding(
    method: str, model: str, fields: dict[str, Any], open_ranks: Callable[..., Trial]
) -> None:
    spec = make_spec(method, model, **fields)
    alone, together = (run_with_parent(spec, open_ranks, ranks) for ranks in (1, 2))
    masks = together.runner.network.masks
    for name, mask in alone.runner.network.masks.items():
        assert torch.equal(masks[name], mask), name
    assert largest_difference(alone, together) < 1e-4
    for one, other in zip(alone.records.rows, together.records.rows, strict=True):
        assert (one["ranks"], other["ranks"]) == (1, 2)
        for column in ("test_top1", "val_top1", "sparsity_reached", "test_images", "train_macs"):
            assert one[column] == other[column], column
        assert other["test_loss"] == pytest.approx(one["test_loss"], rel=1e-5)
    for one, other in zip(alone.records.curves, together.records.curves, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert (other["top1"], other["lr"]) == (one["top1"], one["lr"])


def kill_other(trial: Trial) -> None:
    assert isinstance(trial, RankedTrial)
    os.kill(trial._others._processes[0].pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("step", "batch", "saved"),
    [
        (0, 3, True),  # in an epoch, of which a checkpoint was written
        (2, 0, False),  # where the network is measured, with no checkpoint of this
        pytest.param(0, 0, False, marks=pytest.mark.slow),
        pytest.param(1, 6, False, marks=pytest.mark.slow),
        pytest.param(1, 6, True, marks=pytest.mark.slow),
        pytest.param(2, 0, True, marks=pytest.mark.slow),
    ],
)
def test_a_killed_rank_ends_the_attempt_and_changes_no_bit(
    step: int, batch: int, saved: bool, open_ranks: Callable[..., Trial]
) -> None:
    spec = make_spec("dense", "with_dropout")
    expected = open_ranks(spec, study="undisturbed")
    expected.run()
    trial = open_ranks(spec)
    while (trial.step, trial.runner.batches) != (step, batch):
        trial.advance(lambda: trial.step == step and trial.runner.batches == batch)
    if saved:
        trial.save()
    kill_other(trial)
    with pytest.raises(RankLostError, match=r"rank 1 of 2: was killed by signal 9"):
        trial.run()
    again = open_ranks(spec)
    assert again.position == trial.position or not saved
    again.run()
    assert outcome(again) == outcome(expected)


def test_a_rank_that_dies_while_the_other_waits_for_its_gradients(
    open_ranks: Callable[..., Trial],
) -> None:
    trial, calls = open_ranks(make_spec("dense")), []

    def pause() -> bool:
        calls.append(1)
        if len(calls) == 2:
            kill_other(trial)
        return False

    began = time.monotonic()
    with pytest.raises(RankLostError, match="was killed by signal 9"):
        trial.advance(pause)
    assert time.monotonic() - began < rank_processes.SECONDS_TO_NOTICE


KILLED = """
import os, signal, sys
import torch
from trainables.environment import Environment
from trainables.rank_processes import open_trial
from trainables.trial_spec import TrialSpec

if __name__ == "__main__":
    torch.set_num_threads(1)
    spec = TrialSpec.model_validate_json(sys.argv[1])
    trial = open_trial(spec, Environment(store=sys.argv[2], ranks=2))
    batch = int(sys.argv[3])
    trial.advance(lambda: trial.runner.batches == batch)
    trial.save()
    print(trial._others._processes[0].pid, flush=True)

    def pause():
        if trial.runner.batches == batch + 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    trial.advance(pause)
"""


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
def test_the_others_end_when_the_first_rank_is_killed_and_the_trial_goes_on(
    batch: int, open_ranks: Callable[..., Trial], tmp_path: Path
) -> None:
    spec = make_spec("dense", "with_dropout")
    expected = open_ranks(spec, study="undisturbed")
    expected.run()
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    ended = subprocess.run(
        [sys.executable, str(script), spec.model_dump_json(), str(tmp_path / "study"), str(batch)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    until = time.monotonic() + 20
    while Path(f"/proc/{int(ended.stdout)}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{int(ended.stdout)}").exists()
    again = open_ranks(spec)
    assert again.attempts == 2 and again.runner.batches == batch
    again.run()
    assert outcome(again) == outcome(expected)


def test_an_error_of_one_rank_alone_is_named(open_ranks: Callable[..., Trial]) -> None:
    trial = open_ranks(make_spec("dense", "raises"))
    with pytest.raises(RankLostError, match=r"^rank 1 of 2: RuntimeError: out of luck$"):
        trial.advance()


def test_ranks_that_differ_are_an_error_at_the_next_measurement(
    open_ranks: Callable[..., Trial],
) -> None:
    trial = open_ranks(make_spec("dense", "differs"))
    with pytest.raises(
        RanksDifferError, match=r"masks \(digest\) of rank 1 of 2 is \w+, of rank 0"
    ):
        trial.run()
    assert not trial.store.list("rows")


def test_batch_norm_by_rank_is_a_trial_of_its_own(open_ranks: Callable[..., Trial]) -> None:
    from pruning.user_error import UserError

    synchronised = make_spec("dense", "with_norm")
    apart = RECIPE.model_copy(update={"sync_batch_norm": False})
    by_rank = make_spec("dense", "with_norm", apart).of_ranks(2)
    assert synchronised.of_ranks(2).key == synchronised.key
    assert len({synchronised.key, by_rank.key, by_rank.of_ranks(4).key}) == 3
    trial = open_ranks(synchronised)
    trial.run()
    other = open_ranks(by_rank)
    other.run()
    assert largest_difference(trial, other) > 1e-3
    with pytest.raises(UserError, match="a trial of 2 ranks, but there are 1"):
        open_ranks(by_rank, 1)


def test_a_trial_goes_on_with_fewer_ranks_and_its_row_says_so(
    open_ranks: Callable[..., Trial],
) -> None:
    spec = make_spec("dense", "with_norm")
    alone = open_ranks(spec, 1, "one rank")
    alone.run()
    trial = open_ranks(spec)
    trial.advance(lambda: trial.runner.batches == 4)
    trial.save()
    trial.close()
    again = open_ranks(spec, 1)
    assert again.runner.batches == 4
    again.run()
    assert again.records.rows[-1]["notes"] == "went on with 1 rank after 2"
    assert largest_difference(again, alone) < 1e-4
    for one, other in zip(alone.records.curves, again.records.curves, strict=True):
        assert (
            other["loss"] == pytest.approx(one["loss"], rel=1e-5) and other["top1"] == one["top1"]
        )


def test_a_trial_that_is_done_needs_no_other_rank(open_ranks: Callable[..., Trial]) -> None:
    trial = open_ranks(make_spec("dense"))
    assert isinstance(trial, RankedTrial)
    processes = list(trial._others._processes)
    trial.run()
    assert not any(process.is_alive() for process in processes)
    assert open_ranks(make_spec("dense")).done


def test_a_process_that_does_not_notice_a_lost_rank_is_ended(
    open_ranks: Callable[..., Trial],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(rank_processes, "SECONDS_TO_NOTICE", 0.2)
    monkeypatch.setattr(os, "_exit", ended.append)
    trial = open_ranks(make_spec("dense"))
    kill_other(trial)
    until = time.monotonic() + 20
    while not ended and time.monotonic() < until:
        time.sleep(0.05)
    assert ended == [1]
    assert "rank 1 of 2: was killed by signal 9" in capfd.readouterr().err


def test_another_rank_computes_on_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it all ranks would be on the first GPU, which is what a trial means by "cuda"."""
    own, theirs = multiprocessing.Pipe()
    devices: list[int] = []

    def end_here(environment: Environment, rank: int, meeting: str) -> None:
        raise RankLostError(f"rank {rank} joins on GPU {devices}")

    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    monkeypatch.setattr(rank_processes, "join_group", end_here)
    monkeypatch.setattr(rank_processes, "end_with_parent", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(os, "_exit", sys.exit)
    environment = Environment(store="", device="cuda", ranks=4)
    with pytest.raises(SystemExit):
        rank_processes.run_rank(make_spec("dense"), environment, 3, "", theirs)
    assert own.recv() == ("value", "ready")
    assert own.recv() == ("error", "RankLostError: rank 3 joins on GPU [3]")
