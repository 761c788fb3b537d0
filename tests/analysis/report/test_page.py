"""The page: valid HTML without external references, complete, safe against what names contain."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.reading.load import load_study
from analysis.report.page import SHOWN_ROWS, Page
from analysis.report.study_report import make_page
from analysis.tables.table import Table
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study
from tests.analysis.synthetic_details import write_details

EVIL = '<script>alert("x")</script> & \'quotes\' "</td>"'
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Reads a page strictly: every element closed in order, every id once, every attribute once."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.links.append((tag, str(value)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a study with everything: gaps, cards, evil names."""
    folder = write_study(
        tmp_path_factory.mktemp("page") / "s",
        methods=("magnitude", "synflow", "random"),
        gaps=True,
        seeds=(42, 43),
        sparsities=(0.5, 0.9),
    )
    writer = Writer(folder, seeds=(42, 43))
    writer.trials = [
        trial | {"retrain": None} for trial in load_study(folder).plan.to_dict("records")
    ]
    writer.add(make_own_rows("han_iterative", (0.4, 0.7), 42, knobs='{"k": "<b>&"}'))
    writer.add([make_row("evil", 0.5, 42, notes=EVIL, device=EVIL)])
    writer.cards = {
        "magnitude": {
            "title": "Magnitude",
            "paper": EVIL,
            "summary": EVIL,
            "knobs": {"scope": "global"},
        }
    }
    writer.finish()
    writer.store.write("study.yaml", yaml.safe_dump({"name": EVIL, "description": EVIL}).encode())
    write_details(folder)
    return make_page(load_study(folder), formats=("svg", "html")).to_html()


def test_the_page_is_well_formed(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert page.startswith("<!DOCTYPE html>")
    assert reader.tags.count("h1") == 1


def test_a_strict_parser_finds_no_error(page: str) -> None:
    html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed (extra dev)")
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(page)
    assert parser.errors == []


def test_the_validator_of_the_w3c_finds_no_error(page: str, tmp_path: Path) -> None:
    command = shutil.which("vnu")
    if command is None:
        pytest.skip("vnu, the W3C's validator, is not installed")
    (tmp_path / "page.html").write_text(page)
    done = subprocess.run(
        [command, "--errors-only", "page.html"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    reader = Reader(page)
    assert reader.links
    for tag, link in reader.links:
        assert link.startswith(("data:", "#")), (tag, link[:80])
    for anchor in (link for _, link in reader.links if link.startswith("#")):
        assert anchor[1:] in reader.ids
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert style and script
    assert not re.search(r"url\(|@import|https?:", style[1])
    assert not re.search(r"fetch|import|XMLHttpRequest|https?:", script[1])
    assert not {"link", "iframe", "object", "embed"} & set(reader.tags)
    pictures = [link for tag, link in reader.links if tag == "img"]
    for picture in pictures:
        drawing = base64.b64decode(picture.split("base64,")[1]).decode()
        assert not re.search(r'(href|src)="(?!#|data:)', drawing)


def test_what_names_contain_stays_text(page: str) -> None:
    reader = Reader(page)
    assert reader.tags.count("script") == 1
    assert page.count("<script>alert") == 0
    assert any(EVIL in text for text in reader.text)


def test_everything_is_on_it(page: str) -> None:
    reader = Reader(page)
    text = " ".join(" ".join(reader.text).split())
    assert reader.tags.count("figure") >= 5
    assert reader.tags.count("table") >= 5
    for heading in (
        "Summary",
        "Checklist",
        "Methods",
        "Environment",
        "Failed trials",
        "Study file",
        "Warnings",
    ):
        assert heading in text
    assert "commit 5b85ed8" in text
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_downloads_are_the_files(page: str) -> None:
    match = re.search(
        r'download="accuracy\.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page
    )
    assert match
    assert base64.b64decode(match[1]).decode().startswith("dataset,model,recipe,series,method")


def test_long_tables_are_cut_on_the_page() -> None:
    cells = tuple((str(number),) for number in range(SHOWN_ROWS + 5))
    table = Table("t", "Title", "Caption.", ("A",), cells, 1, frozenset(), pd.DataFrame())
    page = Page("study", "", (), (), (table,), ()).to_html()
    body = re.search(r'<h3 id="table-1">.*?<tbody>(.*?)</tbody>', page, flags=re.DOTALL)
    assert body
    assert body[1].count("<tr") == SHOWN_ROWS
    assert f"The first {SHOWN_ROWS} of {SHOWN_ROWS + 5} rows" in page


def test_only_a_watched_page_loads_itself_again() -> None:
    assert "http-equiv" not in Page("study", "", (), (), (), ()).to_html()
    assert (
        '<meta http-equiv="refresh" content="7">'
        in Page("study", "", (), (), (), (), refresh=7).to_html()
    )
