"""Prefixes of names, taken off or put on until they are those of a network."""

import pytest
import torch
from torch import Tensor

from trainables.weights.name_prefixes import common_prefix, strip_prefixes, take_off_wrappers

WANTED = {name: torch.zeros(2) for name in ("conv.weight", "conv.bias", "fc.weight")}


def named(*names: str) -> dict[str, Tensor]:
    return {name: torch.full((2,), float(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "model.", "backbone.", "encoder.net."),
        *("net.module._orig_mod.", "my.", "my.own."),
    ],
)
def test_prefixes_of_all_names_are_taken_off(prefix: str) -> None:
    given = named(*(f"{prefix}{name}" for name in WANTED))
    found, notes = strip_prefixes(given, WANTED)
    assert list(found) == list(WANTED)
    assert all(found[name] is given[f"{prefix}{name}"] for name in WANTED)
    said = prefix.replace("_orig_mod.", "")  # which says nothing to anybody
    assert notes == ([f"'{said}' was taken off the names"] if said else [])


def test_names_that_fit_stay_as_they_are() -> None:
    wanted = {f"module.{name}": tensor for name, tensor in WANTED.items()}
    given = named(*wanted)
    assert strip_prefixes(given, wanted) == (given, [])


def test_a_prefix_of_the_network_is_put_before() -> None:
    wanted = {f"body.{name}": tensor for name, tensor in WANTED.items()}
    found, notes = strip_prefixes(named(*(f"module.{name}" for name in WANTED)), wanted)
    assert list(found) == list(wanted)
    assert notes == ["'module.' was taken off the names", "'body.' was put before the names"]


def test_a_prefix_of_some_names_is_taken_off_where_these_are_a_whole_network() -> None:
    own = [f"model.{name}" for name in WANTED]
    found, notes = strip_prefixes(named(*own, "loss.weight", "ema.decay"), WANTED)
    assert list(found) == list(WANTED)
    assert notes == [
        "'model.' was taken off the names",
        "left out, with other prefixes: loss.weight, ema.decay",
    ]
    part = named(*own[:-1], "loss.weight")
    assert strip_prefixes(part, WANTED) == (part, [])


def test_a_subset_of_other_shapes_is_no_whole_network() -> None:
    given = {f"model.{name}": torch.zeros(3) for name in WANTED} | named("loss.weight")
    assert strip_prefixes(given, WANTED) == (given, [])


def test_wrappers_inside_a_network_are_taken_off() -> None:
    given = named("conv._orig_mod.weight", "conv._fsdp_wrapped_module.bias", "_orig_mod.fc.weight")
    assert list(strip_prefixes(given, WANTED)[0]) == list(WANTED)


def test_the_count_of_an_averaged_model_is_left_out() -> None:
    given = named("n_averaged", *(f"module.{name}" for name in WANTED))
    assert list(strip_prefixes(given, WANTED)[0]) == list(WANTED)


def test_names_of_another_network_keep_their_prefixes() -> None:
    given = named("module.a.weight", "module.b.weight")
    assert strip_prefixes(given, WANTED) == (given, [])
    assert list(take_off_wrappers(given)) == ["a.weight", "b.weight"]


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["a.b", "a.c.d"], "a."), (["a.b", "b.c"], ""), (["a"], ""), (["a", "a.b"], "")],
)
def test_common_prefix(names: list[str], prefix: str) -> None:
    assert common_prefix(names) == prefix
