"""Prefixes that wrappers put before the names of a state dict, taken off or put on until the names
are those of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from torch import Tensor

from pruning.user_error import list_some

PREFIXES = (
    *("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "encoder."),
    *("_model.", "student.", "base_model.", "_forward_module."),
)
# Wrappers inside a network, as torch.compile, FSDP and activation checkpoints leave them.
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNT_OF_AVERAGES = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
_DEPTH = 4  # prefixes before each other


def strip_prefixes(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by the names that have most in common with those of a network, with notes.

    Tried are the names as they are, without the prefixes that all of them have, and behind one that
    all of the network's have. A prefix that only some names have is taken off where these are all
    that the network needs; the others belong to something else, and are left out.
    """
    start = _without_inner(tensors, wanted)
    put = common_prefix(wanted)
    bare = {name.removeprefix(put): tensor for name, tensor in wanted.items()}
    best, removed, before, overlap = start, "", "", _common(start, wanted)
    for prefix, target in (("", wanted), (put, bare)):
        for reading, taken in [(start, ""), *_readings(start, target, "", _DEPTH)]:
            if _common(reading, target) > overlap:
                best, removed, before = reading, taken, prefix
                overlap = _common(reading, target)
    notes = [f"'{removed}' was taken off the names"] if removed else []
    if before:
        notes.append(f"'{before}' was put before the names")
        best = {f"{before}{name}": tensor for name, tensor in best.items()}
    left = [name for name in start if not name.startswith(removed)]
    if left:
        notes.append(f"left out, with other prefixes: {list_some(left)}")
    return best, notes


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


def _readings(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], before: str, depth: int
) -> Iterator[tuple[dict[str, Tensor], str]]:
    """What the names may mean, with the prefix that was taken off."""
    if not depth:
        return
    for prefix in dict.fromkeys((*PREFIXES, common_prefix(tensors))):
        inside = {
            name[len(prefix) :]: tensor
            for name, tensor in tensors.items()
            if prefix and name.startswith(prefix)
        }
        if inside and (len(inside) == len(tensors) or _covers(inside, wanted)):
            yield inside, before + prefix
            yield from _readings(inside, wanted, before + prefix, depth - 1)


def _without_inner(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        if name in wanted:
            renamed[name] = tensor
            continue
        for inner in _INNER:
            name = name.replace(f".{inner}", ".").removeprefix(inner)
        if name != _COUNT_OF_AVERAGES:
            renamed[name] = tensor
    return renamed


def _common(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int:
    return len(tensors.keys() & wanted.keys())


def _covers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether all that a network needs is there in its shape; counters of batches may be
    missing."""
    needed: Set[str] = {name for name in wanted if not name.endswith("num_batches_tracked")}
    return needed <= tensors.keys() and all(
        tensors[name].shape == wanted[name].shape for name in needed
    )
