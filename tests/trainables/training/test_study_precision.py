"""All trials of a study train a network in one precision, on whatever GPUs they run."""

from pathlib import Path

import pytest
import torch

from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import A100, H200, T4, PretendedGpu
from trainables.node_faults import NodeUnfit
from trainables.storage.store import Store
from trainables.training.study_precision import agree_on_precision, check_precision

CUDA = torch.device("cuda")


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
