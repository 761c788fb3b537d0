"""Prefixes of names, taken off or put on until they are those of a network."""

import pytest
import torch
from torch import Tensor

from pruning.user_error import UserError
from trainables.weights.name_prefixes import (
    common_prefix,
    equals,
    strip_prefixes,
    take_off_wrappers,
)

WANTED = {name: torch.zeros(2) for name in ("conv.weight", "conv.bias", "fc.weight")}


def named(*names: str) -> dict[str, Tensor]:
    return {name: torch.full((2,), float(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "model.", "backbone.", "encoder.net."),
        *("net.module._orig_mod.", "my.", "my.own.", "a.b.c.d.e.f."),
    ],
)
def test_prefixes_of_all_names_are_taken_off(prefix: str) -> None:
    given = named(*(f"{prefix}{name}" for name in WANTED))
    found, notes = strip_prefixes(given, WANTED, where="here")
    assert list(found) == list(WANTED)
    assert all(found[name] is given[f"{prefix}{name}"] for name in WANTED)
    said = prefix.replace("_orig_mod.", "")  # which says nothing to anybody
    assert notes == ([f"'{said}' was taken off the names"] if said else [])


def test_names_that_fit_stay_as_they_are() -> None:
    wanted = {f"module.{name}": tensor for name, tensor in WANTED.items()}
    given = named(*wanted)
    assert strip_prefixes(given, wanted, where="here") == (given, [])


def test_a_prefix_of_the_network_is_put_before() -> None:
    wanted = {f"body.{name}": tensor for name, tensor in WANTED.items()}
    found, notes = strip_prefixes(
        named(*(f"module.{name}" for name in WANTED)), wanted, where="here"
    )
    assert list(found) == list(wanted)
    assert notes == ["'module.' was taken off the names", "'body.' was put before the names"]


def test_a_prefix_of_some_names_is_taken_off_where_these_are_a_whole_network() -> None:
    own = [f"model.{name}" for name in WANTED]
    found, notes = strip_prefixes(named(*own, "loss.weight", "ema.decay"), WANTED, where="here")
    assert list(found) == list(WANTED)
    assert notes == [
        "'model.' was taken off the names",
        "left out, with other prefixes: loss.weight, ema.decay",
    ]


def test_a_prefix_is_taken_off_where_more_than_half_of_the_network_is_behind_it() -> None:
    """So that what is said of the file is what is missing in it."""
    part = named("model.conv.weight", "model.conv.bias", "loss.weight")
    found, notes = strip_prefixes(part, WANTED, where="here")
    assert list(found) == ["conv.weight", "conv.bias"]
    assert notes == [
        "'model.' was taken off the names",
        "left out, with other prefixes: loss.weight",
    ]
    less = named("model.conv.weight", "loss.weight")
    assert strip_prefixes(less, WANTED, where="here") == (less, [])
    with pytest.raises(UserError, match="holds several networks: behind 'key', 'query'"):
        strip_prefixes(
            named("query.conv.weight", "query.fc.weight", "key.conv.weight", "key.fc.weight"),
            WANTED,
            where="here",
        )


def behind(*prefixes: str) -> dict[str, Tensor]:
    """A network behind each prefix, with other weights behind each."""
    return {
        f"{prefix}{name}": torch.full((2,), float(number))
        for number, prefix in enumerate(prefixes)
        for name in WANTED
    }


@pytest.mark.parametrize(
    ("prefixes", "taken"),
    [
        (("model.", "ema_model."), "ema_model."),
        (("model.", "model_ema.module."), "model_ema.module."),
        (("net.", "module.ema."), "module.ema."),
        (("net.", "model."), "model."),
        (("teacher.", "student."), "student."),
        (("own.", "model."), "model."),
    ],
)
def test_of_two_networks_averaged_weights_come_first_and_the_other_is_named(
    prefixes: tuple[str, str], taken: str
) -> None:
    (left,) = {*prefixes} - {taken}
    given = behind(*prefixes) | named("loss.weight")
    found, notes = strip_prefixes(given, WANTED, where="here")
    assert list(found) == list(WANTED)
    assert all(found[name] is given[f"{taken}{name}"] for name in WANTED)
    assert f"FILE#NAME takes '{left.removesuffix('.')}'" in notes


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (
            ("module.encoder_q.", "module.encoder_k."),
            "here holds several networks: behind 'module.encoder_k', 'module.encoder_q'; name one "
            "as FILE#NAME",
        ),
        (
            ("", "ema."),
            "here holds several networks: under the names as they are and behind 'ema'; name one "
            "as FILE#NAME",
        ),
    ],
)
def test_two_networks_without_a_name_that_tells_are_refused(
    prefixes: tuple[str, str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        strip_prefixes(behind(*prefixes), WANTED, where="here")
    assert str(caught.value) == message


def test_a_network_that_is_there_twice_is_one() -> None:
    given = behind("own.")
    twice = given | {name.replace("own", "alias"): tensor for name, tensor in given.items()}
    found, _ = strip_prefixes(twice, WANTED, where="here")
    assert list(found) == list(WANTED)


def test_a_network_with_one_like_it_inside_keeps_its_names() -> None:
    wanted = {f"{part}{name}": t for part in ("", "branch.") for name, t in WANTED.items()}
    given = behind("", "branch.")
    assert strip_prefixes(given, wanted, where="here") == (given, [])
    drawn = {"branch.fc.weight", "fc.weight"}
    assert strip_prefixes(given, wanted, where="here", drawn=drawn) == (given, [])


def test_what_is_drawn_need_not_be_behind_the_prefix() -> None:
    given = named("backbone.conv.weight", "backbone.conv.bias", "projector.weight")
    found, notes = strip_prefixes(given, WANTED, where="here", drawn={"fc.weight"})
    assert list(found) == ["conv.weight", "conv.bias"]
    assert notes[-1] == "left out, with other prefixes: projector.weight"
    fewer = {name: tensor for name, tensor in given.items() if "bias" not in name}
    assert strip_prefixes(fewer, WANTED, where="here", drawn={"fc.weight"}) == (fewer, [])


def test_two_values_for_one_name_are_refused() -> None:
    given = {**named(*WANTED), "_orig_mod.fc.weight": torch.full((2,), 9.0)}
    with pytest.raises(UserError, match="here holds 'fc.weight' twice with different values"):
        strip_prefixes(given, WANTED, where="here")
    given["_orig_mod.fc.weight"] = given["fc.weight"].clone()
    assert list(strip_prefixes(given, WANTED, where="here")[0]) == list(WANTED)


def test_tensors_that_cannot_be_compared_are_not_equal() -> None:
    one = torch.ones(2)
    assert equals(one, one.clone()) and not equals(one, one + 1)
    for other in (one.double(), one.to_sparse(), one.to("meta"), torch.ones(3)):
        assert not equals(one, other) and not equals(other, one)
    quantised = torch.quantize_per_tensor(one, 0.1, 0, torch.qint8)
    assert equals(quantised, quantised) and not equals(quantised, one)


def test_a_network_of_other_shapes_comes_after_a_whole_one() -> None:
    other = {f"model.{name}": torch.zeros(3) for name in WANTED}
    found, _ = strip_prefixes(other | behind("net."), WANTED, where="here")
    assert all(tensor.shape == (2,) for tensor in found.values())
    found, _ = strip_prefixes(other | named("loss.weight"), WANTED, where="here")
    assert list(found) == list(WANTED)


def test_wrappers_inside_a_network_are_taken_off() -> None:
    given = named("conv._orig_mod.weight", "conv._fsdp_wrapped_module.bias", "_orig_mod.fc.weight")
    assert list(strip_prefixes(given, WANTED, where="here")[0]) == list(WANTED)


def test_the_count_of_an_averaged_model_is_left_out() -> None:
    given = named("n_averaged", *(f"module.{name}" for name in WANTED))
    assert list(strip_prefixes(given, WANTED, where="here")[0]) == list(WANTED)


def test_names_of_another_network_keep_their_prefixes() -> None:
    given = named("module.a.weight", "module.b.weight")
    assert strip_prefixes(given, WANTED, where="here") == (given, [])
    assert list(take_off_wrappers(given)) == ["a.weight", "b.weight"]


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["a.b", "a.c.d"], "a."), (["a.b", "b.c"], ""), (["a"], ""), (["a", "a.b"], "")],
)
def test_common_prefix(names: list[str], prefix: str) -> None:
    assert common_prefix(names) == prefix
