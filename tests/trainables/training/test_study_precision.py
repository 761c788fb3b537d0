"""All trials of a study train a network in one precision, on whatever GPUs they run."""

from pathlib import Path
from unittest import mock

import pytest
import torch

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import A100, H200, T4, PretendedGpu
from trainables.environment import Environment
from trainables.node_faults import NodeUnfit
from trainables.storage.layout import precision_file
from trainables.storage.store import Store
from trainables.training import study_precision
from trainables.training.recipe import Recipe
from trainables.training.study_precision import agree_on_precision, check_precision
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

CUDA = torch.device("cuda")
MODEL = "tests.contract.small_networks:residual"


def agree(store: Store, own: str, device: torch.device = CUDA) -> str:
    return agree_on_precision(store, "vgg16", own, device, sleep=lambda s: None)  # type: ignore[arg-type]


def test_on_a_cpu_there_is_nothing_to_agree_on(tmp_path: Path) -> None:
    assert agree(Store.at(tmp_path), "bf16", torch.device("cpu")) == "bf16"
    assert not list(tmp_path.rglob("*"))


@in_cuda_process
def test_the_first_gpu_decides_for_all_others(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with PretendedGpu(T4):
        assert agree(store, "fp16") == "fp16"
    with PretendedGpu(H200):
        assert agree(store, "bf16") == "fp16"
        assert agree_on_precision(store, "mlp", "fp32", CUDA, sleep=lambda s: None) == "fp32"


@in_cuda_process
def test_of_two_that_begin_at_once_both_follow_the_one_that_wrote_last(tmp_path: Path) -> None:
    store, waited = Store.at(tmp_path), []

    def other_writes(seconds: float) -> None:
        waited.append(seconds)
        with PretendedGpu(T4):
            assert agree(Store.at(tmp_path / "else"), "fp16") == "fp16"
        store.write(
            "precision/vgg16.json", Store.at(tmp_path / "else").read("precision/vgg16.json")
        )

    with PretendedGpu(H200):
        assert agree_on_precision(store, "vgg16", "bf16", CUDA, sleep=other_writes) == "fp16"
    assert len(waited) == 1 and waited[0] > 0


@in_cuda_process
def test_a_gpu_that_does_not_compute_in_it_is_not_used(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with PretendedGpu(A100):
        assert agree(store, "bf16") == "bf16"
    with PretendedGpu(T4), pytest.raises(NodeUnfit, match="Tesla T4 does not compute in bf16"):
        agree(store, "fp16")


@in_cuda_process
def test_what_cannot_be_read_is_decided_anew(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for content in (b"", b"[]", b'{"precision": "int4"}'):
        store.write("precision/vgg16.json", content)
        with PretendedGpu(H200):
            assert agree(store, "bf16") == "bf16"


@in_cuda_process
def test_fp16_and_fp32_run_everywhere() -> None:
    with PretendedGpu(T4):
        check_precision("fp16", CUDA)
        check_precision("fp32", CUDA)
    check_precision("bf16", torch.device("cpu"))


def open_trial(folder: Path, precision: str = "auto", *, seed: int = 0) -> Trial:
    """A dense trial on the GPU that is there."""
    recipe = Recipe.model_validate({"epochs": 1, "batch": 400, "precision": precision})
    spec = TrialSpec(dataset="digits", model=MODEL, method="dense", seed=seed, recipe=recipe)
    with mock.patch.object(study_precision, "SETTLE_SECONDS", 0.0):
        return Trial(spec, Environment(store=str(folder), device="cuda"))


@in_cuda_process
def test_a_later_trial_trains_in_the_precision_of_the_first(tmp_path: Path) -> None:
    with PretendedGpu(T4):
        assert open_trial(tmp_path).runner.network.precision == "fp16"
    with PretendedGpu(H200):
        later = open_trial(tmp_path, seed=1)
        later.run()
        assert later.records.rows[-1]["precision"] == "fp16"
        assert open_trial(tmp_path / "other").runner.network.precision == "bf16"


@in_cuda_process
def test_a_trial_does_not_go_on_where_its_precision_is_not_computed(tmp_path: Path) -> None:
    with PretendedGpu(H200):
        trial = open_trial(tmp_path)
        trial.advance(lambda: True)
        trial.save()
    # As for a checkpoint from before there was such a file, or of a trial begun on a CPU.
    Store.at(tmp_path).delete(precision_file(MODEL))
    with PretendedGpu(T4), pytest.raises(NodeUnfit, match="Tesla T4 does not compute in bf16"):
        open_trial(tmp_path)


@in_cuda_process
def test_a_precision_that_the_recipe_names_is_not_imitated(tmp_path: Path) -> None:
    with PretendedGpu(T4):
        with pytest.raises(NodeUnfit, match="set recipe.precision to fp16 or fp32"):
            open_trial(tmp_path, "bf16")
        assert open_trial(tmp_path, "fp16").runner.network.precision == "fp16"
    with PretendedGpu(A100):
        assert open_trial(tmp_path, "bf16").runner.network.precision == "bf16"
