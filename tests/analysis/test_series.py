"""Names, order and styles of series."""

import pandas as pd
import pytest

from analysis.figures.marks import find_line_style
from analysis.method_styles import METHODS
from analysis.series import find_series, find_settings, flatten, format_knobs, format_sparsity
from tests.analysis.synthetic import make_row


def make_frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [make_row(method, 0.5, 1, knobs=knobs, stage=stage) for method, knobs, stage in rows]
    )


def test_only_knobs_that_distinguish_are_named() -> None:
    frame = make_frame(
        ("lottery_ticket", '{"rewind_to": 3, "scope": "layer"}', "final"),
        ("lottery_ticket", '{"rewind_to": 5, "scope": "layer"}', "final"),
        ("lottery_ticket", '{"scope": "layer"}', "final"),
        ("magnitude", '{"scope": "layer"}', "final"),
        ("random", '{"schedule": {"kind": "erk"}}', "final"),
        ("random", "{}", "final"),
    )
    assert [series.label for series in find_series(frame)] == [
        "Magnitude",
        "Lottery ticket (rewind_to=3)",
        "Lottery ticket (rewind_to=5)",
        "Lottery ticket",
        "Random",
        "Random (schedule.kind=erk)",
    ]


def test_methods_of_the_users_own_bear_the_titles_of_their_cards() -> None:
    frame = make_frame(
        *((name, "{}", "final") for name in ("magnitude", "mine", "other_one", "third", "fourth"))
    )
    cards = {
        "mine": {"title": "My pruner"},
        "third": {"title": "Magnitude"},
        "fourth": {"title": " "},
    }
    labels = [series.label for series in find_series(frame, cards)]
    assert labels == ["Magnitude", "Fourth", "My pruner", "Other one", "Magnitude (third)"]


def test_stages_are_named_where_there_are_several() -> None:
    rows = [("sparsegpt", "{}", stage) for stage in ("finetuned", "raw", "recalibrated")]
    series = find_series(make_frame(*rows, ("magnitude", "{}", "raw")))
    labels = ["Magnitude", "SparseGPT (raw)", "SparseGPT (recalibrated)", "SparseGPT (finetuned)"]
    assert [series.label for series in series] == labels
    assert [series.variant for series in series] == [0, 2, 1, 0]  # the result has the plainest line
    assert len({(series.colour, series.marker) for series in series}) == 2


def test_styles_do_not_depend_on_the_other_methods() -> None:
    alone = {
        series.method: series for series in find_series(make_frame(("synflow", "{}", "final")))
    }
    many = find_series(
        make_frame(*((name, "{}", "final") for name in ["zeta", "alpha_beta", *reversed(METHODS)]))
    )
    together = {series.method: series for series in many}
    assert alone["synflow"] == together["synflow"]
    assert many[0].method == "dense"
    order = [series.method for series in many]
    assert order[-7:] == [
        "alpha_beta",
        "zeta",
        "random",
        "shuffled",
        "reinitialised",
        "small_from_scratch",
        "dense_longer",
    ]
    assert {series.family for series in many if series.method in ("alpha_beta", "zeta")} == {
        "other"
    }
    assert together["alpha_beta"].label == "Alpha beta"
    styles = [(series.colour, series.marker) for series in many]
    assert len(set(styles)) == len(styles)


def test_settings_name_the_recipe_where_it_matters() -> None:
    rows = [
        make_row("dense", 0.0, 1, recipe=recipe) for recipe in ("{}", '{"train": {"epochs": 5}}')
    ]
    rows.append(make_row("dense", 0.0, 1, dataset="a/b", recipe='{"train": {"epochs": 5}}'))
    settings = find_settings(pd.DataFrame(rows))
    assert [setting.label for setting in settings] == [
        "a/b, resnet18",
        "cifar10, resnet18, train.epochs=5",
        "cifar10, resnet18, default recipe",
    ]
    assert [setting.slug for setting in settings] == [
        "a-b-resnet18",
        "cifar10-resnet18-train.epochs-5",
        "cifar10-resnet18-default-recipe",
    ]


def test_methods_of_your_own_look_different_however_many_there_are() -> None:
    """Five looks are spare; further methods have them with other dashes, filling and shade."""
    rows = [make_row(f"own_{number:02d}", 0.5, 1) for number in range(20)]
    rows.append(make_row("own_00", 0.5, 1, knobs='{"k": 2}'))
    series = find_series(pd.DataFrame(rows))
    looks = []
    for one in series:
        style = find_line_style(one)
        looks.append(
            (style["color"], one.marker, str(style["linestyle"]), style["markerfacecolor"])
        )
    assert len(set(looks)) == len(series) == 21


def test_no_two_settings_share_the_names_of_their_files() -> None:
    """Else the figures of one would be written over those of the other."""
    places = [("花", "net"), ("树", "net"), ("a_b", "net"), ("a-b", "net"), ("A b", "net")]
    places += [("images", "x" * 300 + end) for end in "12"]
    rows = [make_row("dense", 0.0, 1, dataset=dataset, model=model) for dataset, model in places]
    slugs = [setting.slug for setting in find_settings(pd.DataFrame(rows))]
    assert len({slug.replace("_", "-").lower() for slug in slugs}) == len(places)
    assert all(slug.isascii() and 0 < len(slug) < 180 for slug in slugs)
    alone = find_settings(pd.DataFrame(rows[2:3]))
    assert [setting.slug for setting in alone] == ["a_b-net"]  # names that were clear stay


@pytest.mark.parametrize(
    ("sparsity", "text"),
    [
        (0.0, "0"),
        (0.9, "90"),
        (1 - 0.8**3, "48.8"),
        (1 - 0.8**10, "89.26"),
        (0.995, "99.5"),
        (0.99985, "99.985"),
    ],
)
def test_sparsity_has_the_decimals_it_needs(sparsity: float, text: str) -> None:
    assert format_sparsity(sparsity) == text


def test_nested_values_are_named_by_their_path() -> None:
    nested = {"b": {"x": 1, "y": "text"}, "a": [1, "z"], "empty": {}, "flag": True, "none": None}
    assert flatten(nested) == {
        "b.x": "1",
        "b.y": "text",
        "a": '[1, "z"]',
        "empty": "{}",
        "flag": "true",
        "none": "null",
    }
    assert flatten({}) == {}
    assert format_knobs('{"b": {"y": 2, "x": 1}, "a": "z"}') == ["a=z", "b.x=1", "b.y=2"]
