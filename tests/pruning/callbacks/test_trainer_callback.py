"""Masks in trainings by Hugging Face's `Trainer` itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import pruning
from pruning.user_error import UserError
from tests.pruning.callbacks import own_loop
from tests.pruning.own_code.small_cnn import batches

IMAGES = [
    {"input": image, "labels": label}
    for x, y in batches(own_loop.BATCHES)
    for image, label in zip(x, y, strict=True)
]


def find_transformers() -> Any:
    """Transformers, imported by the first test that needs it: it takes seconds."""
    pytest.importorskip("accelerate", reason="needs pip install '.[transformers]'")
    return pytest.importorskip("transformers", reason="needs pip install '.[transformers]'")


def trainer(pruned: pruning.Pruned, make: own_loop.Make, folder: Path, **more: Any) -> Any:
    transformers = find_transformers()
    from pruning.callbacks.trainer_callback import TrainerMaskCallback

    class InOrder(transformers.Trainer):  # type: ignore[misc,name-defined]
        def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
            return torch.utils.data.SequentialSampler(IMAGES)

    def loss(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
        return cross_entropy(logits, labels) / own_loop.ACCUMULATE

    settings = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": True,
        "num_train_epochs": own_loop.EPOCHS,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": own_loop.ACCUMULATE,
        "max_grad_norm": own_loop.CLIP,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    arguments = transformers.TrainingArguments(**(settings | more))
    return InOrder(
        model=pruned.model,
        args=arguments,
        train_dataset=IMAGES,
        optimizers=(make(pruned.model), None),
        compute_loss_func=loss,
        callbacks=[TrainerMaskCallback(pruned)],
    )


@pytest.mark.parametrize(
    ("method", "optimizer"), [("magnitude", "adamw"), ("gmp", "sgd"), ("rigl", "adamw")]
)
def test_it_trains_as_the_loop_of_the_page_does(
    method: str, optimizer: str, tmp_path: Path
) -> None:
    make = own_loop.OPTIMIZERS[optimizer]
    pruned, plain = own_loop.prune(method), own_loop.prune(method)
    before = own_loop.weights(pruned)
    trainer(pruned, make, tmp_path).train()
    own_loop.check_zeros(pruned)
    own_loop.train(plain, make(plain.model), late=True)
    expected = own_loop.weights(plain)
    for name, value in own_loop.weights(pruned).items():
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(before["0.weight"], expected["0.weight"])
    weight = pruned.model[0].weight  # nothing is left behind
    assert not weight._post_accumulate_grad_hooks


def test_it_goes_on_from_trainers_checkpoint(tmp_path: Path) -> None:
    make = own_loop.OPTIMIZERS["adamw"]
    whole, again = own_loop.prune("rigl"), own_loop.prune("rigl")
    trainer(whole, make, tmp_path, save_strategy="epoch").train()
    first = tmp_path / f"checkpoint-{own_loop.STEPS // 2}"
    assert (first / "pruning_masks.pt").is_file()
    going = trainer(again, make, tmp_path)
    going.train(resume_from_checkpoint=str(first))
    assert going.state.global_step == own_loop.STEPS and again.schedule_is_done
    expected = own_loop.weights(whole)
    for name, value in own_loop.weights(again).items():
        assert torch.equal(value, expected[name]), name
    (first / "pruning_masks.pt").unlink()
    with pytest.raises(UserError, match="goes on at step 3, but its checkpoint has no masks"):
        trainer(own_loop.prune("rigl"), make, tmp_path).train(resume_from_checkpoint=str(first))


def test_what_was_trained_can_be_exported_and_saved(tmp_path: Path) -> None:
    pruned = own_loop.prune("magnitude")
    trainer(pruned, own_loop.OPTIMIZERS["sgd"], tmp_path).train()
    x, _ = batches(1)[0]
    expected = pruned.model.eval()(x)
    pruned.save(tmp_path / "network.pt")
    again = pruning.load(tmp_path / "network.pt", own_loop.network())
    torch.testing.assert_close(again.model.eval()(x), expected, rtol=0, atol=0.05)  # bf16 there
    onnxruntime = pytest.importorskip("onnxruntime")
    pruned.export_onnx(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    (logits,) = session.run(None, {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), again.model.eval()(x))
