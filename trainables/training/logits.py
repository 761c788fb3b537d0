"""Which of the tensors that a network returns are its logits."""

from collections.abc import Mapping

from torch import Tensor


def main_logits(output: object) -> Tensor:
    """The logits [B, classes]: what a network returns, or the first tensor in it.

    While training, networks with auxiliary classifiers (GoogLeNet, Inception) return their logits
    first and those of the auxiliary ones after them; these are not trained. In eval mode a network
    must return its logits alone.

    Raises:
        TypeError: there is no tensor.
    """
    if isinstance(output, Tensor):
        return output
    parts = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(parts, tuple | list) and parts:
        return main_logits(parts[0])
    raise TypeError(f"a network must return logits, but returned {type(output).__name__}")
