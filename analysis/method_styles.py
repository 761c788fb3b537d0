"""The fixed title, family, colour and marker of every method: the same in every figure of every
study.

A family has one hue and its members differ in lightness and marker; controls are grey. Base colours
are those of Okabe & Ito. The shades are chosen so that the members of a family and the reference
lines stay apart for colour-blind readers, too (a test simulates three kinds of colour blindness).
"""

from collections.abc import Mapping
from dataclasses import dataclass

Marker = str | tuple[int, int, int]
Cards = Mapping[str, Mapping[str, object]]  # of methods, by name, as in plan.json
NO_CARDS: Cards = {}

# slug of the family: heading. Methods of one family share a figure where a study has too many
# series for one.
FAMILIES = {
    "after-training": "Unstructured, after training",
    "initialisation-and-dynamic": "At initialisation and during training",
    "post-training": "Post-training",
    "structured": "Structured",
    "controls": "Controls",
    "other": "Other methods",
}


@dataclass(frozen=True)
class MethodStyle:
    """How one method is called and drawn."""

    title: str
    family: str
    colour: str
    marker: Marker


# The order is the order of legends and tables.
METHODS: dict[str, MethodStyle] = {
    "dense": MethodStyle("Dense", "", "#000000", ""),
    "magnitude": MethodStyle("Magnitude", "after-training", "#0072B2", "o"),
    "lottery_ticket": MethodStyle("Lottery ticket", "after-training", "#56B4E9", "s"),
    "han_iterative": MethodStyle("Han iterative", "after-training", "#1B2A7A", "D"),
    "synflow": MethodStyle("SynFlow", "initialisation-and-dynamic", "#009E73", "^"),
    "snip": MethodStyle("SNIP", "initialisation-and-dynamic", "#8FD3A9", "v"),
    "grasp": MethodStyle("GraSP", "initialisation-and-dynamic", "#004D36", "<"),
    "gmp": MethodStyle("Gradual magnitude", "initialisation-and-dynamic", "#B07A00", ">"),
    "rigl": MethodStyle("RigL", "initialisation-and-dynamic", "#6B4A00", "d"),
    "set": MethodStyle("SET", "initialisation-and-dynamic", "#E6C200", "*"),
    "sparsegpt": MethodStyle("SparseGPT", "post-training", "#CC79A7", "P"),
    "wanda": MethodStyle("Wanda", "post-training", "#882255", "p"),
    "obc": MethodStyle("OBC", "post-training", "#46206B", "h"),
    "magnitude_post": MethodStyle("Magnitude (post-training)", "post-training", "#EBC1DE", "d"),
    "l1_filter": MethodStyle("L1 filter", "structured", "#D55E00", "D"),
    "l2_filter": MethodStyle("L2 filter", "structured", "#F7BE8F", "s"),
    "fpgm": MethodStyle("FPGM", "structured", "#7A1F0F", "^"),
    "taylor_filter": MethodStyle("Taylor filter", "structured", "#F0787F", "v"),
    "hrank": MethodStyle("HRank", "structured", "#E69F00", "p"),
    "random": MethodStyle("Random", "controls", "#777777", "X"),
    "shuffled": MethodStyle("Shuffled mask", "controls", "#484848", "P"),
    "reinitialised": MethodStyle("Re-initialised", "controls", "#A0A0A0", "*"),
    "small_from_scratch": MethodStyle("Small from scratch", "controls", "#C6C6C6", "s"),
    "dense_longer": MethodStyle("Dense, longer", "controls", "#262626", "D"),
}
SPARE: list[tuple[str, Marker]] = [
    ("#00A6B8", "H"),
    ("#7ADCE6", (4, 1, 0)),
    ("#005F6B", (6, 1, 0)),
    ("#BBCC33", (5, 0, 180)),
    ("#661100", (7, 1, 0)),
]


def find_method_styles(methods: set[str], cards: Cards = NO_CARDS) -> dict[str, MethodStyle]:
    """The styles of these methods, in the order of legends; unknown ones, sorted by name, take the
    spare colours and come before the controls."""
    unknown = sorted(methods - set(METHODS))
    titles = {name: find_method_title(name, cards) for name in methods}
    spare = {}
    for index, name in enumerate(unknown):
        is_unique = list(titles.values()).count(titles[name]) == 1
        spare[name] = MethodStyle(
            titles[name] if is_unique else f"{titles[name]} ({name})",
            "other",
            *SPARE[index % len(SPARE)],
        )
    known = [name for name in METHODS if name in methods]
    controls = [name for name in known if METHODS[name].family == "controls"]
    return {
        name: (METHODS | spare)[name]
        for name in [*(method for method in known if method not in controls), *unknown, *controls]
    }


def find_method_title(name: str, cards: Cards = NO_CARDS) -> str:
    """The fixed title of a method, or that on its card, or its name in words."""
    if name in METHODS:
        return METHODS[name].title
    if title := " ".join(str(cards.get(name, {}).get("title") or "").split()):
        return title
    words = name.replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]
