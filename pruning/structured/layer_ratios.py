"""Fractions of filters that single layers lose (`layer_sparsity`), as widths of channel groups.

Layers that write the same channels lose the same filters. So one of them speaks for its group, and
where several are named they must say the same.
"""

from collections.abc import Mapping, Sequence

from pruning.structured.channel_widths import kept_widths
from pruning.structured.group_parts import Group, Structure
from pruning.user_error import UserError


def widths_set_apart(
    structure: Structure, groups: Sequence[Group], ratios: Mapping[str, float], *, round_to: int = 1
) -> dict[str, int]:
    """Number of kept channels of the groups that have a layer with a fraction of its own, by group;
    rounded as `kept_widths` does.

    Args:
        structure: of the network, for the reasons why a layer's filters stay.
        groups: those that may be cut.
        ratios: fraction of a layer's filters that go, by name of its weight.

    Raises:
        UserError: layers of one group have two fractions, or a layer's filters cannot go.
    """
    kept: dict[str, int] = {}
    found: set[str] = set()
    for group in groups:
        named = {name: ratios[name] for name in group.cut_weights if name in ratios}
        if not named:
            continue
        (first, ratio), *others = named.items()
        for name, other in others:
            if other != ratio:
                raise UserError(
                    f"layer_sparsity: {first} and {name} write the same channels, so that the same "
                    f"fraction of their filters must go, but {ratio:g} and {other:g} were given; "
                    "name one of them"
                )
        found |= named.keys()
        kept |= kept_widths([group], ratio, round_to=round_to)
    for name in ratios:
        if name not in found:
            raise UserError(
                f"layer_sparsity: no filters of {name} can be removed "
                f"({_why_it_stays(name, structure)}); take it out"
            )
    return kept


def _why_it_stays(name: str, structure: Structure) -> str:
    if any(name in group.cut_weights for group in structure.groups):
        return "its channels are left whole by the mode, or by a layer in exclude"
    layer = name.rpartition(".")[0]
    fallback = "its outputs are no channels of their own"
    return structure.fixed.get(layer, structure.fixed.get(name, fallback))
