"""A network that is being pruned: its weights, masks and removed channels, and what changes them;
the same in a trial and in `pruning.prune`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning import cost
from pruning.masks import all_kept, apply_masks, prunable
from pruning.method_answers import check_masks_fit
from pruning.prunable_layers import Selection, select_weights
from pruning.real_zeros import Zeros, check_promise, count_zeros
from pruning.small_initial_weights import draw_small_weights
from pruning.structured.shrink import shrink
from pruning.user_error import list_some
from pruning.weight_uses import trace_weights

if TYPE_CHECKING:
    from pruning.method import Method


class PrunedNetwork:
    """A network with the masks and cuts of one method.

    image: (channels, height, width) of an input. selection: the weights that the method prunes.
    masks: bool, one for each of them, True where kept; what they remove is zero in the model
    whenever a method of this class returns. keep_plans: for each time channels were removed, which
    ones of its groups stayed. dense_params, dense_prunable: parameters and weights to prune before
    any pruning.
    """

    def __init__(
        self,
        model: nn.Module,
        image: tuple[int, int, int],
        device: torch.device,
        *,
        method: Method | None,
        selection: Selection | None = None,
        exclude: Sequence[str] = (),
        layer_sparsity: Mapping[str, float] | None = None,
        last_sparsity: float = 0.0,
    ) -> None:
        """
        Args:
            model: on the device.
            method: None where it is not known any more; then nothing more can be pruned.
            selection: the weights that are pruned; None: those that the method can prune.
            exclude, layer_sparsity: see `prunable_layers.select_weights`.
            last_sparsity: at which the pruning ends; 0 where the method's own rule decides.

        Raises:
            UserError: see `prunable_layers.select_weights`.
        """
        self.model, self.image, self.device = model, image, device
        self.method, self._last_sparsity = method, last_sparsity
        self.selection = selection or select_weights(
            model, image, method=method, exclude=exclude, layer_sparsity=layer_sparsity
        )
        self.dense_params = sum(parameter.numel() for parameter in model.parameters())
        self.masks: Mapping[str, Tensor] = self._keep_all()
        self.dense_prunable = sum(mask.numel() for mask in self.masks.values())
        self.keep_plans: list[dict[str, Tensor]] = []
        self._counted: tuple[nn.Module, int] | None = None

    def build(self, stream: str) -> nn.Module:
        """The whole network on the device, with fresh weights of that name.

        Raises:
            TypeError: a subclass does not say how it is built.
        """
        raise TypeError(f"{type(self).__name__} does not say how to build the network ({stream})")

    def build_whole(self) -> nn.Module:
        """The whole network on the device, with any weights."""
        return self.build("init")

    def arrange(self, model: nn.Module) -> nn.Module:
        """A network that has just been made, in the memory format in which it is used. Default: as
        it is."""
        return model

    def _keep_all(self) -> dict[str, Tensor]:
        """Masks that keep every weight that the method prunes."""
        whole = all_kept(self.model)
        return {name: whole[name] for name in self.selection.names}

    def fixed_sparsities(self, sparsity: float | None) -> dict[str, float]:
        """The sparsities of the layers that the study or the method sets apart, where the others
        shall have `sparsity`: on the way to the last one those of the study rise in proportion."""
        last = self._last_sparsity
        part = sparsity / last if sparsity is not None and last else 1.0
        own = None
        if sparsity is not None and self.method is not None:
            own = self.method.output_sparsity(sparsity)
        output = {} if own is None else dict.fromkeys(self.selection.output, own)
        return output | {name: part * own for name, own in self.selection.fixed.items()}

    @property
    def sparsity(self) -> float:
        """Fraction of the dense network's prunable weights that are gone, by masks or with their
        channels."""
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        return 1 - kept / self.dense_prunable if self.dense_prunable else 0.0

    def count_macs(self) -> int:
        """Multiply-accumulates of one forward pass of one image through the network as large as it
        is now; masked weights count in full. Counted once for each size."""
        if self._counted is None or self._counted[0] is not self.model:
            self._counted = self.model, cost.macs(cost.layer_costs(self.model, self.image))
        return self._counted[1]

    def check_zeros(self) -> Zeros:
        """The zeros of the network as it is now, counted in the tensors that it uses.

        Raises:
            WrongZerosError: they are not those that the masks say.
        """
        weights = prunable(self.model, only=self.masks)
        uses = trace_weights(self.model, weights, self.image)
        return count_zeros(self.model, self.masks, uses)

    def check_promise(self, sparsity: float | None) -> None:
        """Pass if the masks have the sparsity that the method promises for the requested one.

        Raises:
            WrongZerosError: they have not.
        """
        assert self.method is not None, "a network that is pruned further has its method"
        check_promise(self.method, self.masks, sparsity, self.fixed_sparsities(sparsity))

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights and buffers of the dense network; masks and removed channels stay."""
        if self.keep_plans:
            self.model = self.build_whole()
        self.model.load_state_dict(weights)
        for keep in self.keep_plans:
            self.model = self._remove_channels(keep)
        apply_masks(self.model, self.masks)

    def reinitialise(self, stream: str) -> list[str]:
        """Draw weights and buffers anew; masks and removed channels stay in force.

        A smaller network draws for its own widths. A masked one draws as the dense one does.

        Returns:
            Notes for the row: what kept the scale of the wide network.
        """
        self.load_weights(self.build(stream).state_dict())
        if not self.keep_plans:
            return []
        drawn, left = draw_small_weights(lambda: self.build(stream), self.model)
        self.model.load_state_dict(drawn, strict=False)
        if not left:
            return []
        return [f"drawn at the scale of the wide network: {list_some(left)}"]

    def shrink(self, keep: Mapping[str, Tensor]) -> None:
        """Remove all channels that `keep` does not name of the groups it does name; a new training
        must follow."""
        self.keep_plans.append({name: kept.cpu() for name, kept in keep.items()})
        self.model = self._remove_channels(keep)
        self.masks = self._keep_all()

    def _remove_channels(self, keep: Mapping[str, Tensor]) -> nn.Module:
        small = shrink(self.model, keep, image=self.image).to(self.device)
        return self.arrange(small)

    @torch.no_grad()
    def set_masks(
        self, masks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Take new masks: what they remove becomes zero, and what an optimiser remembers of every
        weight whose mask changed is cleared.

        Raises:
            WrongAnswer: the masks do not fit the weights that are pruned.
        """
        weights = prunable(self.model, only=self.selection.names)
        check_masks_fit(masks, weights)
        moved = {name: masks[name].to(self.device) for name in weights}
        for name, weight in weights.items():
            for value in (optimizer.state.get(weight, {}) if optimizer else {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.masked_fill_(moved[name] ^ self.masks[name], 0)
        self.masks = moved
        apply_masks(self.model, self.masks)
