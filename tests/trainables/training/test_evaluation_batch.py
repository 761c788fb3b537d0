"""A network is evaluated with as many images at once as the GPU's memory holds."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.environment import Environment
from trainables.training.evaluation import evaluate
from trainables.training.evaluation_batch import EvaluationBatch
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


class _Fits:
    """Counts what it is called with, and has memory for so many images."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, list[int]()

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.sum() + 10 * y.sum()


def test_a_batch_that_fits_is_one_part() -> None:
    at_once, compute = EvaluationBatch(), _Fits(8)
    parts = list(at_once.in_parts(torch.ones(8), torch.ones(8), compute))
    assert compute.sizes == [8] and len(parts) == 1 and at_once.notes == []


def test_one_that_does_not_is_halved_until_it_does_and_later_ones_begin_there() -> None:
    at_once, compute = EvaluationBatch(), _Fits(3)
    x = torch.arange(10.0)
    assert sum(at_once.in_parts(x, x, compute)).item() == 11 * 45  # type: ignore[union-attr]
    assert compute.sizes == [10, 5, 3, 3, 3, 1] and at_once.most == 3
    compute.sizes.clear()
    list(at_once.in_parts(x[:4], x[:4], compute))
    assert compute.sizes == [3, 1]
    assert at_once.notes == ["evaluated 3 images at once, since more did not fit the GPU's memory"]


def test_without_room_for_one_image_it_fails() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(EvaluationBatch().in_parts(torch.ones(4), torch.ones(4), _Fits(0)))


@in_cuda_process
def test_a_gpu_that_is_too_small_for_a_batch_gives_the_same_accuracy() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Flatten(), nn.Linear(64 * 64, 10))
    x, y = torch.randn(64, 3, 8, 8), torch.arange(64) % 10
    options = {"precision": "fp32", "device": torch.device("cpu")}
    here = evaluate(model, [(x, y)], **options)  # type: ignore[arg-type]
    with PretendedGpu(memory=2**20) as gpu:
        at_once, options["device"] = EvaluationBatch(), torch.device("cuda")
        there = evaluate(model.to("cuda"), [(x.cuda(), y.cuda())], at_once=at_once, **options)  # type: ignore[arg-type]
        assert gpu.memory.peak <= 2**20 and at_once.most is not None and at_once.most < 64
    assert here is not None and there is not None
    assert (there.top1, there.top5, there.images) == (here.top1, here.top5, here.images)
    assert there.loss == pytest.approx(here.loss, rel=1e-6)


@in_cuda_process
def test_a_trial_whose_evaluation_does_not_fit_has_its_accuracy_and_a_note(tmp_path: Path) -> None:
    model, recipe = "tests.contract.small_networks:residual", Recipe(epochs=1, batch=20)
    spec = TrialSpec(dataset="digits", model=model, method="dense", seed=0, recipe=recipe)
    environment = Environment(
        store=str(tmp_path / "opened"), device="cuda", images="resident", cuda_graphs=False
    )
    with PretendedGpu():
        Trial(spec, environment)  # images are loaded once, which takes more memory than all else
    rows, memory = [], 2**30
    for name in ("whole", "parts"):
        store = {"store": str(tmp_path / name)}
        with PretendedGpu(memory=memory) as gpu:
            trial = Trial(spec, environment.model_copy(update=store))
            trial.run()
            rows += trial.records.rows
            memory = int(0.75 * gpu.memory.peak)
    whole, parts = rows
    assert (whole["notes"], parts["test_top1"]) == ("", whole["test_top1"])
    assert parts["notes"].startswith("evaluated "), parts["notes"]
