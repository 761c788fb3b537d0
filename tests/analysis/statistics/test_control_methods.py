"""Which methods are controls, and of what."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.series import Series
from analysis.statistics.control_methods import (
    find_controlled_method,
    find_kind,
    is_control,
    list_candidates,
    list_controls,
)
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic import Writer, make_row

CARDS = {"mine": {"kind": "structured"}, "my_control": {"kind": "control", "knobs": {"of": "snip"}}}


def make_results(folder: Path, *names: str, cards: bool = True) -> Results:
    """Methods at 0.9, given as `name` or `name:{knobs}`."""
    writer = Writer(folder)
    for name in names:
        method, _, knobs = name.partition(":")
        writer.add([make_row(method, 0.9, 1, knobs=knobs or "{}")])
    writer.cards = CARDS if cards else {}
    return collect_results(load_study(writer.finish()))


def find_series(results: Results, method: str) -> Series:
    return next(series for series in results.series if series.method == method)


def name_controls(results: Results, method: str) -> list[str]:
    controls = list_controls(results, results.settings[0], find_series(results, method))
    return [
        f"{control.method}{'' if control.knobs == '{}' else control.knobs}" for control in controls
    ]


def test_kinds_come_from_the_card_or_the_built_in_method() -> None:
    assert find_kind("mine", CARDS) == "structured"
    assert find_kind("mine", {}) == "unstructured"
    kinds = [find_kind(name, {}) for name in ("dense", "random", "fpgm", "snip", "dense_longer")]
    assert kinds == ["baseline", "control", "structured", "unstructured", "control"]


def test_controls_do_not_compete(tmp_path: Path) -> None:
    results = make_results(tmp_path, "dense", "snip", "random", "my_control", "dense_longer")
    candidates = [results.series[index].method for index in list_candidates(results)]
    assert candidates == ["snip"]
    assert is_control(results, find_series(results, "my_control"))


def test_random_controls_unstructured_methods_and_small_networks_structured_ones(
    tmp_path: Path,
) -> None:
    erk = 'random:{"layers": "erk"}'
    results = make_results(
        tmp_path, "snip", "mine", "random", erk, "small_from_scratch", "my_control"
    )
    assert name_controls(results, "snip") == ["my_control", "random", 'random{"layers": "erk"}']
    assert name_controls(results, "mine") == ["small_from_scratch"]
    assert name_controls(results, "random") == []


def test_masks_control_the_method_that_they_are_of(tmp_path: Path) -> None:
    of_snip = 'shuffled:{"of": "snip"}'
    results = make_results(tmp_path, "snip", "magnitude", "shuffled", of_snip, cards=False)
    assert name_controls(results, "magnitude") == ["shuffled"]
    assert name_controls(results, "snip") == ['shuffled{"of": "snip"}']
    assert find_controlled_method(find_series(results, "snip"), {}) is None


def test_a_small_network_of_the_same_widths_goes_before_others(tmp_path: Path) -> None:
    of_fpgm = 'small_from_scratch:{"of": "fpgm"}'
    results = make_results(tmp_path, "fpgm", "l1_filter", "hrank", "small_from_scratch", of_fpgm)
    assert name_controls(results, "fpgm") == ['small_from_scratch{"of": "fpgm"}']
    assert name_controls(results, "l1_filter") == ["small_from_scratch"]
    assert len(name_controls(results, "hrank")) == 2


def test_controls_without_a_card_are_controls() -> None:
    for method in ("random_ticket", "reinitialised_ticket", "shuffled", "dense_longer", "random"):
        assert find_kind(method, {}) == "control", method
