"""Eval mode for a while: what is switched off inside, and that everything is as before
afterwards."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from torch import nn

from pruning.eval_mode import eval_mode, exact_eval_mode


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    """Some precision that is neither the default nor what the block sets."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def network() -> nn.Sequential:
    """A network in training whose second layer is in eval mode."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()).train()
    model[1].eval()
    return model


@pytest.mark.parametrize("mode", [eval_mode, exact_eval_mode])
@pytest.mark.parametrize("fails", [False, True])
def test_every_module_has_its_own_mode_again(
    mode: Callable[[nn.Module], AbstractContextManager[None]], fails: bool
) -> None:
    model = network()
    try:
        with mode(model):
            assert not any(module.training for module in model.modules())
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert torch.get_float32_matmul_precision() == "medium" and torch.backends.cudnn.allow_tf32
    assert torch.is_grad_enabled()


def test_eval_mode_changes_the_modes_only() -> None:
    with eval_mode(network()):
        assert torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "medium"


def test_exact_eval_mode_is_without_gradients_autocast_and_tf32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), exact_eval_mode(network()):
        assert not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32


def test_a_model_without_parameters_is_fine() -> None:
    with exact_eval_mode(nn.ReLU()):
        pass
