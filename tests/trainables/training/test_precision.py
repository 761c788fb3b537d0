"""The precision follows rules of the network and the hardware, never a clock."""

import torch

from models.model_registry import build_model
from tests.trainables.training.training_loop import CPU
from trainables.training.precision import autocast, choose_precision


def test_precision_follows_rules() -> None:
    mlp, network = (build_model(name, image=(1, 8, 8), classes=10) for name in ("mlp", "resnet8"))
    assert choose_precision("auto", mlp, CPU) == "fp32"
    assert choose_precision("auto", network, CPU) in ("bf16", "fp32")
    assert choose_precision("fp16", network, CPU) == "fp16"
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if able.get("amx_bf16"):
        assert choose_precision("auto", network, CPU) == "bf16"


def test_fp32_takes_no_context_and_the_others_cast() -> None:
    x, weight = torch.ones(2, 3), torch.ones(3, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, CPU) as context:  # type: ignore[arg-type]
            assert (x @ weight).dtype == dtype
        assert (context is None) == (precision == "fp32")
    assert (x @ weight).dtype == torch.float32
