"""The masks of a trial's network while it trains: they lie where they lay, from epoch to epoch and
when a method changes them, so that a CUDA graph of a step stays good."""

from dataclasses import dataclass, field

from torch import nn

from pruning.held_masks import HeldMasks
from pruning.masks import Masks
from trainables.network import Network


@dataclass
class TrainingMasks:
    """Masks held on the weights of a trial's network."""

    network: Network
    _held: HeldMasks | None = field(default=None, init=False)
    # The network and the masks that are held, and whether those that keep everything are, too.
    _held_of: tuple[nn.Module, Masks, bool] | None = field(default=None, init=False)

    def hold(self, *, whole: bool) -> HeldMasks:
        """The present masks on the present weights.

        Args:
            whole: hold masks that keep everything, too, since the method may change them.
        """
        model, masks = self.network.model, self.network.masks
        known = self._held_of
        same = known and known[0] is model and known[1] is masks and known[2] == whole
        if self._held is None or not same:
            self._held = HeldMasks(model, masks, leave_out_whole=not whole)
            self._held_of = model, masks, whole
        return self._held

    def replace(self) -> HeldMasks:
        """Hold the masks that the method has just set, in the memory of those before."""
        assert self._held is not None, "masks are held before they change"
        self._held.replace(self.network.masks)
        self._held_of = self.network.model, self.network.masks, True
        return self._held
