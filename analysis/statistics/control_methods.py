"""Which methods are controls, and which controls test which method.

A control shows what is left of a result when one ingredient is taken away, so it never competes
with the methods for being the best; each method is compared with its own controls. Random pruning,
by equal (`uniform`) and by ERK densities, is a control of every unstructured method; a small
network trained from scratch is one of every structured method; a shuffled mask and re-initialised
weights are controls of the method that they name (`of`).
"""

import json
from functools import cache

from analysis.method_styles import METHODS, Cards
from analysis.series import Series, Setting
from analysis.statistics.results import Results

LONGER_DENSE = "dense_longer"  # a control of no single method, but of all: the equal budget
OF_DEFAULTS = {  # for studies whose plan has no cards, and of controls without the knob
    "shuffled": "magnitude",
    "reinitialised": "magnitude",
    "small_from_scratch": "l1_filter",
    "reinitialised_ticket": "lottery_ticket",
    "random_ticket": "lottery_ticket",
}


def find_kind(method: str, cards: Cards) -> str:
    """The kind of a method: baseline, control, structured or unstructured, as its card says; where
    there is no card, that of the built-in method of this name."""
    if kind := str(cards.get(method, {}).get("kind") or ""):
        return kind
    if method in OF_DEFAULTS:
        return "control"
    family = METHODS[method].family if method in METHODS else "other"
    kinds = {"": "baseline", "controls": "control", "structured": "structured"}
    return kinds.get(family, "unstructured")


def is_control(results: Results, series: Series) -> bool:
    """Whether a series is a control."""
    return find_kind(series.method, results.study.cards) == "control"


def list_candidates(results: Results) -> list[int]:
    """The `series_index` of every series that competes: the last stage of every method that is
    neither the dense network nor a control."""
    return [
        index
        for index in results.list_last_stages()
        if not is_control(results, results.series[index])
    ]


def list_controls(results: Results, setting: Setting, series: Series) -> list[Series]:
    """The measured controls of a method in a setting, in the order of legends.

    Of several small networks from scratch, those with the widths of this very method go before
    those with the widths of another one.
    """
    if is_control(results, series) or series.method == "dense":
        return []
    controls = [
        control
        for control in results.list_measured_series(setting)
        if control in results.last_stages and is_control(results, control)
    ]
    structured = find_kind(series.method, results.study.cards) == "structured"
    own, shared = [], []
    for control in controls:
        of = find_controlled_method(control, results.study.cards)
        if of == series.method:
            own.append(control)
        elif (control.method == "small_from_scratch" and structured) or (
            control.method == "random" and not structured
        ):
            shared.append(control)
    if any(control.method == "small_from_scratch" for control in own):
        shared = [control for control in shared if control.method != "small_from_scratch"]
    return [control for control in controls if control in own or control in shared]


def find_controlled_method(control: Series, cards: Cards) -> str | None:
    """The method that a control takes its masks or widths from; None where it takes none."""
    if of := _read_knobs(control.knobs).get("of"):
        return str(of)
    defaults = cards.get(control.method, {}).get("knobs")
    if isinstance(defaults, dict) and defaults.get("of"):
        return str(defaults["of"])
    return OF_DEFAULTS.get(control.method)


@cache
def _read_knobs(knobs: str) -> dict[str, object]:
    """Knobs as a dictionary; empty where the text is none."""
    try:
        read = json.loads(knobs)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
