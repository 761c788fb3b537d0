"""Layers chosen by name or pattern, as the fields `exclude` and `layer_sparsity` of a study do."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from pruning.user_error import UserError, nearest

# Patterns that stand for the first and the last prunable layer of a forward pass.
FIRST, LAST = "first", "last"


def match_layers(
    patterns: Iterable[str], layers: Mapping[str, Sequence[str]], used: Sequence[str], field: str
) -> dict[str, str]:
    """The weights that patterns name, each with the pattern that named it.

    A pattern is the name of a layer, with `*`, `?` and `[...]` as in file names; or, where only one
    of a layer's tensors is meant, that of the layer and the whole name of the tensor, e.g.
    `lstm.weight_hh_l0`. `first` and `last`, where no layer is called so, are the first and the last
    layer that the forward pass uses.

    Args:
        layers: names of weights by layer.
        used: layers in the order in which they run.
        field: of the study file, for the message.

    Raises:
        UserError: a pattern that no layer matches.
    """
    matched: dict[str, str] = {}
    for pattern in patterns:
        found = [
            name
            for layer, names in layers.items()
            for name in names
            if fnmatchcase(layer, pattern)
            or (pattern.endswith(f".{name.rpartition('.')[2]}") and fnmatchcase(name, pattern))
        ]
        if not found and used and pattern in (FIRST, LAST):
            found = list(layers[used[0 if pattern == FIRST else -1]])
        if not found:
            hint = nearest(pattern, list(layers)[:30])
            raise UserError(f"{field}: no prunable layer matches '{pattern}'{hint}")
        matched |= dict.fromkeys(found, pattern)
    return matched


def layer_of_weight(name: str) -> str:
    """The layer (module) that a weight belongs to; "" for a network that is one layer."""
    return name.rpartition(".")[0]


def match_sparsities(
    layer_sparsity: Mapping[str, float],
    layers: Mapping[str, Sequence[str]],
    used: Sequence[str],
    excluded: Mapping[str, str],
) -> dict[str, float]:
    """Sparsities by name of the weight."""
    fixed: dict[str, float] = {}
    by: dict[str, str] = {}
    for pattern, sparsity in layer_sparsity.items():
        for name in match_layers([pattern], layers, used, "layer_sparsity"):
            if name in excluded:
                raise UserError(
                    f"layer_sparsity: '{pattern}' names {name}, which exclude leaves alone by "
                    f"'{excluded[name]}'; take it out of one of them"
                )
            if fixed.setdefault(name, sparsity) != sparsity:
                raise UserError(
                    f"layer_sparsity: '{by[name]}' and '{pattern}' give {name} two sparsities, "
                    f"{fixed[name]:g} and {sparsity:g}; name each layer once"
                )
            by.setdefault(name, pattern)
    return fixed
