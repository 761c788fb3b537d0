"""What the documentation makes from the code: pages of methods, the reference of study files,
figures, links."""

import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

from pruning import registry
from pruning.method import Method
from tests.markdown_blocks import write_files

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of docs/generate, as MkDocs does."""
    monkeypatch.syspath_prepend(str(DOCS / "generate"))
    return importlib.import_module


METHODS = [name for name in registry.list_methods() if registry.find_user_method(name) is None]


@pytest.mark.parametrize("method", METHODS)
def test_every_card_has_a_formula_and_every_knob_a_meaning(
    method: str, load: Callable[[str], ModuleType]
) -> None:
    kind = registry.find_method_class(method)
    assert kind.card.formula.strip()
    for name, _, _, meaning in load("knobs").list_fields(kind):
        assert len(meaning) > 3, (
            f"{method}: say what {name} is, in the docstring or the field's description"
        )


def test_every_field_of_study_and_search_files_has_a_meaning(
    load: Callable[[str], ModuleType],
) -> None:
    from sweeps.search.search_spec import SearchSpec
    from sweeps.study_file.study import StudySpec

    list_fields, find = load("knobs").list_fields, load("reference")._find_parts
    parts = {*find(StudySpec), *find(SearchSpec)}
    assert {part.__name__ for part in parts} >= {
        "StudySpec",
        "Recipe",
        "Change",
        "Resources",
        "Prices",
        "Dimension",
    }
    for part in parts:
        for name, _, _, meaning in list_fields(part):
            assert len(meaning) > 3, f"{part.__name__}.{name}"


def test_types_and_defaults_are_written_in_a_users_words(load: Callable[[str], ModuleType]) -> None:
    from trainables.training.recipe import Recipe

    fields = {name: (kind, default) for name, kind, default, _ in load("knobs").list_fields(Recipe)}
    assert fields["epochs"] == ("whole number, 0 ... 100,000", "`160`")
    assert fields["lr"] == ("number, above 0", "`0.1`")
    assert fields["momentum"] == ("number, at least 0, below 1", "`0.9`")
    assert fields["optimizer"] == ("`sgd`, `adam`, `adamw`", "`sgd`")
    assert fields["compile"] == ("yes or no or `auto`", "`auto`")
    assert fields["milestones"] == ("list of whole numbers, 0 ... 100,000", "`[]`")


def test_the_docstring_tells_what_a_knob_means(load: Callable[[str], ModuleType]) -> None:
    class Base(Method):
        """First line.

        every: steps, all
            of them.
        """

        every: int = 1

    class Other(Base):
        """First line.

        of, at: two of them.

        Not a knob: prose.
        """

        of: str = ""
        at: int = 0

    read = load("knobs").read_meanings(Other)
    assert read["every"] == "steps, all of them." and read["of"] == read["at"] == "two of them."
    assert "Not a knob" not in load("methods")._read_prose(Base) + str(read)


def test_a_new_method_has_a_page_by_itself(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "_USER_METHODS", {})
    write_files((DOCS / "own-model-and-method.md").read_text(), tmp_path)
    registry.add_user_files(str(tmp_path / "lamp.py"))
    pages = load("methods")
    text = pages.write_page("lamp")
    assert (
        text.startswith("# LAMP\n")
        and "[arXiv 2010.07611](https://arxiv.org/abs/2010.07611)" in text
    )
    assert "| `retrain` |" in text and ".svg" not in text
    assert any("methods/lamp.md" in page for kind in pages.list_pages() for page in kind.values())


def test_the_small_tables_have_every_method_once(load: Callable[[str], ModuleType]) -> None:
    studies = load("measured").STUDIES
    assert {study.name for study in studies} == {path.stem for path in DOCS.glob("*.csv")}
    assert len(set().union(*(study.methods for study in studies))) >= 23
    for study in studies:
        table = study.table
        assert study.methods <= set(METHODS) and {"dense", "random"} <= study.methods
        assert not table.duplicated(["method", "sparsity"]).any()
        assert (table["n"].between(2, 3) & table["mean"].between(5, 100)).all()
        assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()
        assert table["sparsity"].between(0, 1, inclusive="left").all()
        assert all(isinstance(json.loads(knobs), dict) for knobs in table["knobs"])


def test_a_method_is_shown_by_the_first_study_that_has_it(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, pages = load("measured"), load("methods")
    monkeypatch.setattr(measured, "DOCS", tmp_path)
    rows = "method,knobs,sparsity,mean,low,high,n\n"
    (tmp_path / "first.csv").write_text(
        rows + 'hrank,"{""layer_by_layer"": false}",0.5,80.126,79.1,81,3\n'
    )
    (tmp_path / "second.csv").write_text(rows + "hrank,{},0.5,90,89,91,3\nsnip,{},0.9,70,69,71,2\n")
    studies = [
        measured.MeasuredStudy(name, f"On the {name}", "a network")
        for name in ("first", "absent", "second")
    ]
    monkeypatch.setattr(measured, "STUDIES", studies)
    hrank, snip, dense = (pages.write_page(name) for name in ("hrank", "snip", "dense"))
    assert "## On the first" in hrank and "| 50 % | 80.13 [79.10, 81.00] | 3 |" in hrank
    assert "A network; `layer_by_layer: false`: [how" in hrank
    assert "## On the second" in snip and "| 90 % | 70.00 [69.00, 71.00] | 2 |" in snip
    assert ".svg" not in dense


def test_a_figure_shows_the_methods_own_curve(load: Callable[[str], ModuleType]) -> None:
    draw = load("figures").draw_method
    table = pd.read_csv(DOCS / "digits.csv")
    synflow, snip = draw(table, "synflow"), draw(table, "snip")
    assert synflow.startswith(b"<?xml") and b"#009e73" in synflow and b"#009e73" not in snip
    assert draw(table, "synflow") == synflow, "equal tables give equal figures"


def test_links_are_changed_outside_of_code_only(load: Callable[[str], ModuleType]) -> None:
    links = load("links")
    text = (
        "[a](../README.md) [b](x.md#c) [d](https://e.f) [g](#h)\n```md\n[a](../README.md)\n```\n"
        "[i](../pruning/nm_pattern.py)\n"
    )
    assert links.rewrite(text, "speed.md") == (
        "[a](index.md) [b](x.md#c) [d](https://e.f) [g](#h)\n```md\n[a](../README.md)\n```\n"
        "[i](repository/pruning/nm_pattern.py.md)\n"
    )
    assert (
        links.rewrite("[a](../../CONTRIBUTING.md#b)", "decisions/README.md")
        == "[a](../repository/CONTRIBUTING.md#b)"
    )
    assert links.rewrite("[a](docs/faq.md) [b](docs/decisions)", "repository/CONTRIBUTING.md") == (
        "[a](../faq.md) [b](../decisions/README.md)"
    )
    assert links.list_linked(text, "speed.md") == {"pruning/nm_pattern.py"}
    with pytest.raises(FileNotFoundError):
        links.write_copy("pruning/no_such_file.py")


def test_differences_from_papers_stand_on_the_pages_of_their_methods(
    load: Callable[[str], ModuleType],
) -> None:
    differences = load("differences").DIFFERENCES
    assert set(differences) <= set(METHODS)
    page = load("methods").write_page("synflow")
    heading, knobs = page.index("## Different from the paper"), page.index("## Knobs")
    assert heading < page.index(f"* {differences['synflow'][0]}") < knobs
    assert "Different from the paper" not in load("methods").write_page("dense")
    for texts in differences.values():
        for link in re.findall(r"\]\(\.\./(.*?\.md)\)", " ".join(texts)):
            assert (DOCS / link).is_file()


def list_figure_kinds() -> set[str]:
    """The files of analysis/figures that draw a figure, by their functions' answers."""
    kinds = set()
    for path in (DOCS.parent / "analysis" / "figures").glob("*.py"):
        module = importlib.import_module(f"analysis.figures.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            answer = str(inspect.signature(function).return_annotation)
            if name.startswith("draw_") and ("Picture]" in answer or "InlineFigure" in answer):
                kinds.add(path.stem if function.__module__ == module.__name__ else "")
    return kinds - {""}


def test_the_gallery_has_every_figure_of_the_analysis(load: Callable[[str], ModuleType]) -> None:
    kinds = list_figure_kinds()
    assert len(kinds) >= 19 and {"accuracy_by_sparsity", "inline_accuracy"} <= kinds
    page = load("gallery_page")
    assert {shown.kind for shown in page.ALL} == kinds, "docs/generate/gallery_page.py"
    assert all(shown.question.rstrip(".").count("?") for shown in page.ALL)
    assert (DOCS / "gallery.md").read_text() == page.write_page(), "see docs/generate/gallery.py"
    folder = DOCS / "assets" / "gallery"
    assert {path.stem for path in folder.iterdir()} == kinds
    assert sum(path.stat().st_size for path in folder.iterdir()) < 600_000


def test_the_gallery_names_the_files_that_the_commands_write(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    from analysis.reading.load import load_study
    from analysis.report.figures_and_tables import list_drawings
    from analysis.statistics.results import collect_results
    from tests.analysis.synthetic_details import write_everything

    page = load("gallery_page")
    results = collect_results(load_study(write_everything(tmp_path / "study")))
    drawn = {picture.name for draw in list_drawings(results, ("csv",)) for picture in draw()}
    for shown in page.REPORT[1:]:
        assert any(name.startswith(shown.file) for name in drawn), shown.kind
    for name in drawn:
        assert any(name.startswith(shown.file) for shown in page.ALL if shown.file), name


def test_the_studies_of_the_gallery_are_valid_and_small(load: Callable[[str], ModuleType]) -> None:
    from sweeps.planning.plan import make_plan
    from sweeps.search.search_spec import SearchSpec
    from sweeps.study_file.study import StudySpec

    page = load("gallery_page")
    study = StudySpec.model_validate(yaml.safe_load(page.STUDY_FILE))
    assert len(make_plan(study).trials) < 100
    assert SearchSpec.model_validate(yaml.safe_load(page.SEARCH_FILE)).budget.trials == 24
