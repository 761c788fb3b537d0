"""Masks in trainings by Lightning itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import pruning
from pruning.user_error import UserError
from tests.pruning.callbacks import own_loop
from tests.pruning.own_code.small_cnn import batches


def find_lightning() -> Any:
    """Lightning, imported by the first test that needs it: it takes seconds."""
    return pytest.importorskip("lightning.pytorch", reason="needs pip install '.[lightning]'")


@pytest.fixture(autouse=True)
def _few_words() -> Iterator[None]:
    find_lightning()
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def module(pruned: pruning.Pruned, make: own_loop.Make) -> Any:
    lightning = find_lightning()

    class Classifier(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = pruned.model

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            x, y = batch
            return cross_entropy(self.model(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return make(self.model)

    return Classifier()


def loader() -> Any:
    return torch.utils.data.DataLoader(batches(own_loop.BATCHES), batch_size=None)


def trainer(pruned: pruning.Pruned, folder: Path, **more: Any) -> Any:
    from pruning.callbacks.lightning_callback import LightningMaskCallback

    settings = {
        "accelerator": "cpu",
        "precision": "bf16-mixed",
        "max_epochs": own_loop.EPOCHS,
        "accumulate_grad_batches": own_loop.ACCUMULATE,
        "gradient_clip_val": own_loop.CLIP,
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }
    return find_lightning().Trainer(callbacks=[LightningMaskCallback(pruned)], **(settings | more))


@pytest.mark.filterwarnings("ignore")  # of Lightning: few workers
@pytest.mark.parametrize("optimizer", own_loop.OPTIMIZERS)
@pytest.mark.parametrize("method", own_loop.METHODS)
def test_it_trains_as_the_loop_of_the_page_does(
    method: str, optimizer: str, tmp_path: Path
) -> None:
    make = own_loop.OPTIMIZERS[optimizer]
    pruned, plain = own_loop.prune(method), own_loop.prune(method)
    before = own_loop.weights(pruned)
    trainer(pruned, tmp_path).fit(module(pruned, make), loader())
    own_loop.check_zeros(pruned)
    own_loop.train(plain, make(plain.model))
    expected = own_loop.weights(plain)
    for name, value in own_loop.weights(pruned).items():
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(before["0.weight"], expected["0.weight"])


@pytest.mark.filterwarnings("ignore")
def test_it_goes_on_from_lightnings_checkpoint(tmp_path: Path) -> None:
    make = own_loop.OPTIMIZERS["adamw"]
    whole, again = own_loop.prune("rigl"), own_loop.prune("rigl")
    saving = trainer(whole, tmp_path, enable_checkpointing=True)
    (checkpoints,) = saving.checkpoint_callbacks
    checkpoints.save_top_k = -1
    saving.fit(module(whole, make), loader())
    first, last = sorted(tmp_path.rglob("epoch=*.ckpt"))
    going = trainer(again, tmp_path)
    going.fit(module(again, make), loader(), ckpt_path=first)
    assert going.global_step == own_loop.STEPS and again.schedule_is_done
    expected = own_loop.weights(whole)
    assert not torch.equal(torch.load(first)["state_dict"]["model.5.weight"], expected["5.weight"])
    for name, value in own_loop.weights(again).items():
        assert torch.equal(value, expected[name]), name
    assert last.is_file()


@pytest.mark.filterwarnings("ignore")
def test_a_module_without_the_pruned_network_is_refused(tmp_path: Path) -> None:
    pruned, other = own_loop.prune("magnitude"), own_loop.prune("magnitude")
    with pytest.raises(UserError, match="no optimiser of this training has weights"):
        trainer(pruned, tmp_path).fit(module(other, own_loop.OPTIMIZERS["sgd"]), loader())
