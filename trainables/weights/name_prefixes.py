"""Prefixes that wrappers put before the names of a state dict, taken off or put on until the names
are those of a network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AnySet

import torch
from torch import Tensor

from pruning.user_error import UserError, list_some

# Names under which programs store the averaged weights of a training, and the last ones. Averaged
# ones come first: where both are there, they are what the program evaluated and reported.
AVERAGED = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema"),
    "averaged_model",
)
PLAIN = (
    *("state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net"),
    *("network_state_dict", "network", "params", "weights", "module", "student", "backbone"),
)
PREFIXES = (
    *("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "encoder."),
    *("_model.", "student.", "base_model.", "_forward_module."),
)
# Wrappers inside a network, as torch.compile, FSDP and activation checkpoints leave them.
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNT_OF_AVERAGES = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
COUNTER = "num_batches_tracked"


def strip_prefixes(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    where: str,
    drawn: AnySet[str] = frozenset(),
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by the names of a network, or those that have most in common with them, and
    notes.

    Where all that the network needs is behind one prefix, in its shapes, that is taken off; names
    without it belong to something else, and are left out. Behind several, averaged weights come
    first (see `AVERAGED`). The same holds for a prefix that more than half is behind, and for one
    that all names have. Else the names stay as they are. Any of these may also lack a prefix that
    all of the network's names have.

    Args:
        where: the source, as an error line names it.
        drawn: names of the network that are not needed.

    Raises:
        UserError: two tensors have one name, or several prefixes have other weights each.
    """
    start = _without_inner(tensors, wanted, where)
    put = common_prefix(wanted)
    bare = {name.removeprefix(put): tensor for name, tensor in wanted.items()}
    targets = [("", wanted, drawn)]
    if put:
        targets.append((put, bare, {name.removeprefix(put) for name in drawn}))
    for before, target, left_out in targets:
        needed = {n: t for n, t in target.items() if n not in left_out and COUNTER not in n}
        prefixes = _complete_prefixes(start, needed, target)
        if prefixes:
            removed, notes = _choose(prefixes, start, needed, where)
            return _rename(start, removed, before, notes)
    best, most, before = [""], _count_prefixes(start, wanted)[""], ""
    for prefix, target, _ in targets:
        for removed, count in _count_prefixes(start, target).items():
            whole = all(name.startswith(removed) for name in start)
            if count > most and (whole or 2 * count > len(target)):
                best, most, before = [removed], count, prefix
            elif count == most and best != [""] and prefix == before and not whole:
                best.append(removed)
    names = bare if before else wanted
    shared = [name for name in names if all(f"{prefix}{name}" in start for prefix in best)]
    removed, notes = _choose(best, start, shared, where)
    return _rename(start, removed, before, notes)


def _rename(
    start: Mapping[str, Tensor], removed: str, before: str, notes: Sequence[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors with one prefix in place of another, without those that do not have it."""
    said = [f"'{removed}' was taken off the names"] if removed else []
    said += [f"'{before}' was put before the names"] if before else []
    left = [name for name in start if not name.startswith(removed)]
    said += [f"left out, with other prefixes: {list_some(left)}"] if left else []
    found = {
        f"{before}{name.removeprefix(removed)}": tensor
        for name, tensor in start.items()
        if name.startswith(removed)
    }
    return found, [*said, *notes]


def _count_prefixes(tensors: Iterable[str], wanted: Mapping[str, Tensor]) -> Counter[str]:
    """How many names of a network are behind each prefix that names have."""
    ends = (
        name[:start]
        for name in tensors
        for start in (0, *(dot.end() for dot in re.finditer(r"\.", name)))
        if name[start:] in wanted
    )
    return Counter(ends)


def _complete_prefixes(
    tensors: Mapping[str, Tensor], needed: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> list[str]:
    """The prefixes behind which all that a network needs is there in its shapes; not its own other
    layers."""
    return [
        prefix
        for prefix, count in _count_prefixes(tensors, needed).items()
        if count == len(needed)
        and all(tensors[f"{prefix}{name}"].shape == needed[name].shape for name in needed)
        and not (prefix and all(f"{prefix}{name}" in wanted for name in needed))
    ]


def _choose(
    prefixes: Sequence[str],
    tensors: Mapping[str, Tensor],
    needed: Iterable[str],
    where: str,
) -> tuple[str, list[str]]:
    """One of several prefixes, and a note of the others where their weights differ.

    Raises:
        UserError: no name tells which.
    """
    first, *others = prefixes
    others = [
        prefix
        for prefix in others
        if not all(equals(tensors[f"{prefix}{name}"], tensors[f"{first}{name}"]) for name in needed)
    ]
    if not others:
        return first, []
    ranked = sorted((_rank(prefix), prefix) for prefix in (first, *others))
    names = [f"'{prefix.removesuffix('.')}'" for _, prefix in ranked]
    if "" in prefixes or ranked[0][0] == ranked[1][0]:
        as_they_are = "under the names as they are and " if "" in prefixes else ""
        behind = ", ".join(name for name in names if name != "''")
        raise UserError(
            f"{where} holds several networks: {as_they_are}behind {behind}; name one as FILE#NAME"
        )
    return ranked[0][1], [f"FILE#NAME takes {list_some(names[1:])}"]


def _rank(prefix: str) -> int:
    """How early a prefix comes among those that may hold the weights; the lowest first."""
    known, parts = (*AVERAGED, *PLAIN), prefix.split(".")
    return min((known.index(part) for part in parts if part in known), default=len(known))


def common_prefix(names: Iterable[str]) -> str:
    """What all names have before their first dot, with the dot; empty where they differ."""
    first = {name.partition(".")[0] if "." in name else "" for name in names}
    return f"{next(iter(first))}." if len(first) == 1 and "" not in first else ""


def take_off_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes of wrappers that all names have."""
    named = dict(tensors)
    while (prefix := common_prefix(named)) in PREFIXES:
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def without_inner(name: str) -> str:
    """A name without what wrappers inside a network add to it."""
    for inner in _INNER:
        name = name.replace(f".{inner}", ".").removeprefix(inner)
    return name


def _without_inner(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name if name in wanted else without_inner(name)
        if plain in renamed and not equals(renamed[plain], tensor):
            raise UserError(
                f"{where} holds '{plain}' twice with different values, once as a wrapper names it; "
                "write the one that you mean"
            )
        if plain != _COUNT_OF_AVERAGES:
            renamed[plain] = tensor
    return renamed


def equals(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, as far as that can be told: also of types that differ, which
    are not."""
    plain = (torch.strided, False, False)
    kinds = {(tensor.layout, tensor.is_quantized, tensor.is_meta) for tensor in (one, other)}
    same = kinds == {plain} and one.dtype == other.dtype
    return one is other or (same and torch.equal(one.cpu(), other.cpu()))
