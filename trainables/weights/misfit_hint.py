"""What probably is the matter with a state dict that does not fit a network: the end of an error
line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from trainables.weights.known_networks import find_like_network
from trainables.weights.name_prefixes import COUNTER, common_prefix, take_off_wrappers

_STATISTICS = ("running_mean", "running_var")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")
# Ends of names that a layer has in place of a weight which is made anew in every forward pass, and
# what makes a plain weight of it.
_MADE = {
    "_mask": "masks of torch.nn.utils.prune: call torch.nn.utils.prune.remove(layer, '{name}')",
    "_g": "weight_norm: call torch.nn.utils.remove_weight_norm(layer)",
    "_u": "spectral_norm: call torch.nn.utils.remove_spectral_norm(layer)",
}


def suggest(
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    head: Sequence[str],
    classes: int,
    where: str,
) -> str:
    """The nearest reading, and what to do; empty where there is none.

    Args:
        given: tensors of the file by name, without those that are drawn fresh and without prefixes.
        wanted: those of the network.
        head: layers of the network that yield the logits.
        where: the source, as an error line names it.
    """
    made = _explain_made_weights(given, wanted)
    if made:
        return made
    if missing_part := _SHARD.search(where):
        return (
            f"; it is one of the {int(missing_part[1])} files of a network: load the network with "
            "its library and write one file by torch.save(model.state_dict(), 'weights.pth')"
        )
    missing = [n for n in wanted if n not in given and not n.endswith(COUNTER)]
    unexpected = [n for n in given if n not in wanted]
    wrong = [n for n in given if n in wanted and given[n].shape != wanted[n].shape]
    in_head = tuple(f"{layer}." for layer in head)
    only_wrong = bool(wrong) and not missing and not unexpected
    if only_wrong and all(n.startswith(in_head or "\0") for n in wrong):
        found = max(given[n].shape[0] if given[n].dim() else 1 for n in wrong)
        return (
            f"; it was trained on {found} classes, and the data has {classes}: draw the last layer "
            "anew with head: fresh"
        )
    if missing and not unexpected and not wrong:
        if in_head and all(n.startswith(in_head) for n in missing):
            return "; it has no last layer: draw one with head: fresh"
        if all(n.endswith(_STATISTICS) for n in missing):
            return (
                "; it has parameters but no running statistics of batch-norm: save "
                "model.state_dict(), which has both"
            )
    if only_wrong and len(wrong) == 1:
        have, want = given[wrong[0]].shape, wanted[wrong[0]].shape
        if len(have) == len(want) == 4 and have[0] == want[0] and have[2:] == want[2:]:
            return f"; it was trained on images of {have[1]} channels, and the data has {want[1]}"
    none_fits = not given.keys() & wanted.keys()
    like = find_like_network(take_off_wrappers(given) if none_fits else given)
    if like is not None:
        advice = f": give model: {like}" if missing or unexpected else ""
        return f"; these are the names and shapes of '{like}'{advice}"
    prefix = common_prefix(given)
    if none_fits and prefix and prefix != common_prefix(wanted):
        return f"; all its names begin with '{prefix}', and it has none of the network's"
    if none_fits:
        return "; it has none of the network's names: it belongs to another network"
    return "; name layers to draw anew with fresh, or choose the model that it belongs to"


def _explain_made_weights(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """How to save plain weights where the file has what they are made of; empty where it has."""
    for name in wanted:
        if name in given:
            continue
        layer, _, kind = name.rpartition(".")
        before = f"{layer}." if layer else ""
        if any(other.startswith(f"{before}parametrizations.{kind}.") for other in given):
            return (
                f"; '{name}' is parametrised: call torch.nn.utils.parametrize."
                f"remove_parametrizations(layer, '{kind}') on such layers and save again"
            )
        for ending, made in _MADE.items():
            if f"{name}{ending}" in given:
                return f"; '{name}' has {made.format(name=kind)} on such layers and save again"
        if f"{before}scale" in given and f"{before}zero_point" in given:
            return f"; '{name}' is quantised: save the network's weights from before it was"
    return ""
