"""The network of a trial: weights, masks and optimiser, what changes them, and how all of it is
saved and restored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.batch_norm import recalibrate_batch_norm
from pruning.pruned_network import PrunedNetwork
from pruning.seeds import derive_seed
from trainables.training.channels_last import to_channels_last
from trainables.training.compile import CompiledForward, choose_compiled
from trainables.training.evaluation import Accuracy, evaluate
from trainables.training.evaluation_batch import EvaluationBatch
from trainables.training.optimizer import make_optimizer, set_missing_momentum, set_recipe
from trainables.training.precision import Precision, autocast, choose_precision
from trainables.training.ranks import ONE_RANK, Ranks
from trainables.training.study_precision import check_precision
from trainables.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from trainables.checkpoint_format import NetworkState
    from trainables.training.recipe import Recipe
    from trainables.trial_spec import TrialSpec


class Network(PrunedNetwork):
    """The network of one trial on its device, beginning with the initial weights of the trial's
    seed, or with given ones.

    given: weights and buffers by name; what is not among them is drawn from the seed. selection:
    the weights that the trial prunes. masks: bool, one for each of them, True where kept; what they
    remove is zero in the model at every moment. keep_plans: for each time channels were removed,
    which ones of its groups stayed. dense_params, dense_prunable: parameters and weights to prune
    before any pruning. compiled: whether it trains compiled; decided by `steps`, the optimiser
    steps of the whole trial.
    """

    def __init__(
        self,
        spec: TrialSpec,
        image: tuple[int, int, int],
        classes: int,
        device: torch.device,
        *,
        steps: int = 0,
        given: Mapping[str, Tensor] | None = None,
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self.ranks = ranks
        self.spec, self.image, self.classes, self.device = spec, image, classes, device
        model = self.build("init")
        if given:
            model.load_state_dict(given, strict=False)
        super().__init__(
            model,
            image,
            device,
            method=spec.build_method(),
            exclude=spec.exclude,
            layer_sparsity=spec.layer_sparsity,
            last_sparsity=spec.sparsities[-1] if spec.sparsities else 0.0,
        )
        self.precision = choose_precision(spec.recipe.precision, self.model, device)
        self.compiled = ranks.count == 1 and choose_compiled(
            spec.recipe.compile, self.model, steps=steps, device=device
        )
        self._compiled_forward: CompiledForward | None = None
        self.evaluation_batch = EvaluationBatch()
        self.optimizer: torch.optim.Optimizer | None = None
        self.average: WeightAverage | None = None
        self.scaler = self._make_scaler()

    def build(self, stream: str) -> nn.Module:
        """The whole network with fresh weights from (seed, stream), drawn on the CPU whatever the
        device."""
        torch.manual_seed(derive_seed(self.spec.seed, stream))
        model = build_model(self.spec.model, image=self.image, classes=self.classes).to(self.device)
        return self.arrange(model)

    def arrange(self, model: nn.Module) -> nn.Module:
        """The network with its weights in the memory format in which convolutions are fastest."""
        return to_channels_last(model)

    def renew_optimizer(self, recipe: Recipe) -> torch.optim.Optimizer:
        """Begin a training: a fresh optimiser without momentum, no average of weights yet, and
        with fp16 torch's first scale of the loss, whatever an earlier training of the trial has
        raised it to; so a training depends on nothing but its weights, masks, recipe and seed."""
        self.optimizer = make_optimizer(self.model, recipe, scaled=self.precision == "fp16")
        self.average, self.scaler = None, self._make_scaler()
        return self.optimizer

    def train_in(self, precision: Precision) -> None:
        """Train in a precision other than the one chosen for this device alone.

        Raises:
            NodeUnfit: the device does not compute in it.
        """
        check_precision(precision, self.device)
        self.precision = precision
        self.scaler = self._make_scaler()

    def _make_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def update_optimizer(self, recipe: Recipe) -> torch.optim.Optimizer:
        """The optimiser of the training in progress, with the fields of a recipe that may have
        changed since the last epoch; with it, the average of the weights if there is to be one."""
        assert self.optimizer is not None, (
            "a training step follows the start of its training or a checkpoint of it"
        )
        set_recipe(self.optimizer, recipe)
        if recipe.ema is not None and self.average is None:
            self.average = WeightAverage(self.model)
        return self.optimizer

    def end_training(self) -> None:
        """The average of the weights, where there is one, becomes the network: what is measured,
        pruned, saved and trained further."""
        if self.average:
            self.average.copy_to_model()
        self.average = None

    def training_forward(
        self, recipe: Recipe, *, graphed: bool = False
    ) -> nn.Module | CompiledForward:
        """The forward pass of the training in progress.

        Args:
            graphed: whether whole steps are replayed as CUDA graphs. Otherwise a compiled pass
                records its own, but not with accumulated gradients, which the next replay would
                overwrite.
        """
        if not self.compiled:
            return self.model
        compiled, own_graphs = self._compiled_forward, not graphed and recipe.accumulate == 1
        if (
            compiled is None
            or compiled.model is not self.model
            or (compiled.batch, compiled.graphed) != (recipe.batch, own_graphs)
        ):
            lenient = self.spec.recipe.compile == "auto"
            self._compiled_forward = compiled = CompiledForward(
                self.model,
                batch=recipe.batch,
                device=self.device,
                lenient=lenient,
                graphed=own_graphs,
            )
        return compiled

    def take_compile_notes(self) -> list[str]:
        """A note for the row if compiling failed since the last call; the training then goes on
        without it, also where it is continued."""
        if not (self._compiled_forward and self._compiled_forward.error):
            return []
        error, self.compiled, self._compiled_forward = self._compiled_forward.error, False, None
        return [f"trained without torch.compile, which failed: {error}"]

    def shrink(self, keep: Mapping[str, Tensor]) -> None:
        """Remove all channels that `keep` does not name of the groups it does name; a new training
        must follow."""
        super().shrink(keep)
        self.optimizer = self.average = None

    def set_masks(
        self, masks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Take new masks: what they remove becomes zero, also in the average of the weights, and
        momentum of every weight whose mask changed is cleared; by default in the optimiser of the
        training in progress.

        Raises:
            ValueError: the masks do not fit the prunable weights.
        """
        super().set_masks(masks, optimizer or self.optimizer)
        if self.average:
            self.average.apply_masks(self.model, self.masks)

    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracy | None:
        """Accuracy on images, within a training with the average of the weights, if there is one;
        None where there are no images. The model is in eval mode afterwards."""
        with self.average.in_model() if self.average else nullcontext():
            return evaluate(
                self.model,
                batches,
                precision=self.precision,
                device=self.device,
                at_once=self.evaluation_batch,
                ranks=self.ranks,
            )

    def recalibrate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Estimate the batch-norm statistics anew from images; weights stay."""
        recalibrate_batch_norm(
            self.model, batches, autocast=lambda: autocast(self.precision, self.device)
        )

    def copy_weights(self) -> dict[str, Tensor]:
        """Weights and buffers on the CPU: a state dict that the plain model loads."""
        return {
            name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()
        }

    def state(self, *, midway: bool) -> NetworkState:
        """Everything needed to continue; the optimiser and the average of the weights only `midway`
        in a training."""
        return {
            "model": self.model.state_dict(),
            "masks": dict(self.masks),
            "keeps": self.keep_plans,
            "optimizer": self.optimizer.state_dict() if midway and self.optimizer else None,
            "average": self.average.state() if midway and self.average else None,
            "scaler": self.scaler.state_dict(),
            "precision": self.precision,
            "compiled": self.compiled,
        }

    def restore(self, saved: NetworkState, recipe: Recipe) -> None:
        """Put back what `state` returned; `recipe` is the one of the training it was midway in."""
        self.keep_plans = saved["keeps"]
        for keep in self.keep_plans:
            self.model = self._remove_channels(keep)
        self.model.load_state_dict(saved["model"])
        self.masks = {name: mask.to(self.device) for name, mask in saved["masks"].items()}
        self.train_in(saved["precision"])
        self.compiled = saved["compiled"] and self.ranks.count == 1
        if saved["optimizer"] is not None:
            optimizer = self.renew_optimizer(recipe)
            optimizer.load_state_dict(saved["optimizer"])
            if self.precision == "fp16":
                set_missing_momentum(optimizer)
        self.scaler.load_state_dict(saved["scaler"])
        average = saved.get("average")
        self.average = None if average is None else WeightAverage(self.model, average)
