"""The fixed slots of the methods: all there, and distinguishable with any kind of colour vision."""

import itertools

import numpy as np
import pytest

from analysis.method_styles import FAMILIES, METHODS, SPARE, find_method_title

# Machado et al. 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def see(colour: str, vision: str) -> np.ndarray:
    """A colour in CIE Lab, as a reader sees it."""
    coded = np.array([int(colour[index : index + 2], 16) for index in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_slots_are_of_methods_that_exist_under_their_own_titles() -> None:
    """A new method needs none: it takes a spare colour until someone gives it one."""
    from pruning import registry

    assert set(METHODS) <= set(registry.list_methods())
    assert {name: find_method_title(name) for name in METHODS} == {
        name: registry.find_method_class(name).card.title for name in METHODS
    }


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "other"])
def test_members_of_a_figure_are_told_apart(family: str, vision: str) -> None:
    names = [name for name, method_style in METHODS.items() if method_style.family == family]
    together = dict.fromkeys(
        [*names, "dense", "magnitude", *(["random"] if family == "after-training" else [])]
    )
    for style, other in itertools.combinations([METHODS[name] for name in together], 2):
        assert style.marker != other.marker, (style, other)
        assert np.linalg.norm(see(style.colour, vision) - see(other.colour, vision)) > 12, (
            style,
            other,
        )


def test_no_two_methods_look_the_same() -> None:
    styles = [
        (method_style.colour, method_style.marker) for method_style in METHODS.values()
    ] + SPARE
    assert len({colour for colour, _ in styles}) == len(styles)
    assert {
        method_style.family for name, method_style in METHODS.items() if name != "dense"
    } == set(FAMILIES) - {"other"}


def test_controls_are_grey() -> None:
    for method_style in METHODS.values():
        grey = method_style.colour[1:3] == method_style.colour[3:5] == method_style.colour[5:7]
        assert grey == (method_style.family in ("controls", ""))
