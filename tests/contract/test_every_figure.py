"""What every figure in `analysis.report.figures_and_tables.FIGURES` must keep to. A new one is
tested by being listed there."""

import functools
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.image import imread

from analysis.reading.load import Study, load_study
from analysis.report.figures_and_tables import FIGURES
from analysis.statistics.results import Results, collect_results
from tests.analysis.synthetic_details import write_everything

DRAWN = {draw.__name__: draw for draw in FIGURES}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A made-up study with something to show in every figure."""
    return load_study(write_everything(tmp_path_factory.mktemp("figures") / "s"))


@pytest.fixture(scope="module")
def study(loaded: Study) -> Results:
    """Its results."""
    return collect_results(loaded)


@pytest.fixture(scope="module")
def flat(loaded: Study) -> Results:
    """Those where nothing varies, as in a first try-out whose networks find the largest class."""
    accuracies = [column for column in loaded.rows.columns if column.endswith("top1")]
    rows = loaded.rows.assign(**dict.fromkeys(accuracies, 66.67))
    return collect_results(replace(loaded, rows=rows))


def draw(name: str, study: Results, *kinds: str) -> list[Any]:
    return [picture for setting in study.settings for picture in DRAWN[name](study, setting, kinds)]


@pytest.fixture(scope="module")
def drawn(study: Results) -> Callable[[str], list[Any]]:
    """The pictures of a figure, drawn once for all tests."""
    return functools.cache(lambda name: draw(name, study, "png", "svg"))


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_a_picture_with_title_caption_and_data(
    name: str, drawn: Callable[[str], list[Any]]
) -> None:
    pictures = drawn(name)
    assert pictures, "a study with everything in it has something to show here"
    for picture in pictures:
        assert re.fullmatch(r"[a-zA-Z0-9.-]+", picture.name) and picture.title
        assert "n = " in picture.caption and picture.caption.endswith(".")
        assert len(picture.data) and list(picture.files) == ["png", "svg"]
        assert measure(picture.files["png"]) == picture.size


def measure(content: bytes) -> tuple[int, int]:
    height, width = imread(io.BytesIO(content)).shape[:2]
    return width, height


@pytest.mark.parametrize("name", DRAWN)
def test_equal_studies_give_equal_files(
    name: str, study: Results, drawn: Callable[[str], list[Any]]
) -> None:
    again = draw(name, study, "svg")
    assert [picture.files["svg"] for picture in drawn(name)] == [
        picture.files["svg"] for picture in again
    ]


@pytest.mark.parametrize("name", DRAWN)
def test_where_nothing_varies_it_is_drawn_without_a_warning(name: str, flat: Results) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(picture.files["png"] for picture in draw(name, flat, "png"))


def test_names_are_those_of_one_figure_each(drawn: Callable[[str], list[Any]]) -> None:
    names = [picture.name for name in DRAWN for picture in drawn(name)]
    assert len(names) == len(set(names)) >= len(DRAWN)
