"""The page of a report: as Markdown, and as one HTML file that loads nothing from elsewhere."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from analysis.figures.canvas import Picture
from analysis.figures.inline_accuracy import InlineFigure
from analysis.report.checklist import ChecklistPoint
from analysis.report.page_leaderboards import SettingBoards
from analysis.tables.table import Table

SHOWN_ROWS = 400  # of a table on the page; its files have them all


@dataclass(frozen=True)
class MethodCard:
    """The card of a method: a title, a line, and properties (name, text)."""

    title: str
    text: str
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page after figures and tables; `kind` says what its items are."""

    title: str
    kind: Literal["list", "code", "properties", "cards", "checklist"]
    items: tuple[object, ...]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """All that a report shows. `refresh` makes a browser load it again after so many seconds; 0
    does not. `leaderboards` and `main_figures` are what the HTML page opens with."""

    title: str
    lead: str
    summary: tuple[str, ...]
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]
    sections: tuple[Section, ...]
    refresh: int = 0
    leaderboards: tuple[SettingBoards, ...] = ()
    main_figures: tuple[InlineFigure, ...] = ()

    @property
    def listed_tables(self) -> tuple[Table, ...]:
        """The tables that the HTML page shows as such: not the leaderboard, which it opens with."""
        if not self.leaderboards:
            return self.tables
        return tuple(table for table in self.tables if table.name != "leaderboard")

    def to_html(self) -> str:
        """The page as one HTML file."""
        return _load_template().render(page=self, shown_rows=SHOWN_ROWS)

    def to_markdown(self, formats: Sequence[str]) -> str:
        """The page as Markdown; figures and tables are files beside it, in these formats."""
        lines = [f"# {self.title}", "", self.lead, ""]
        lines += [f"* {sentence}" for sentence in self.summary]
        for picture in self.pictures:
            kinds = [kind for kind in ("png", "svg", "pdf", "csv") if kind in formats]
            lines += ["", f"## {picture.title}", ""]
            if images := [kind for kind in kinds if kind in ("png", "svg")]:
                lines += [f"![{picture.title}](figures/{picture.name}.{images[0]})", ""]
            lines += [
                picture.caption,
                "",
                " ".join(f"[{kind}](figures/{picture.name}.{kind})" for kind in kinds),
            ]
        for table in self.tables:
            kinds = [kind for kind in ("md", "tex", "csv") if kind in formats]
            links = " ".join(f"[{kind}](tables/{table.name}.{kind})" for kind in kinds)
            lines += ["", f"## {table.title}", ""]
            shown = (
                table.to_markdown()
                if len(table.cells) <= SHOWN_ROWS
                else f"{len(table.cells)} rows, see the files.\n"
            )
            lines += [shown, links]
        for section in self.sections:
            lines += ["", f"## {section.title}", "", *([section.note, ""] if section.note else [])]
            lines += _write_section(section)
        return "\n".join(lines) + "\n"


def _write_section(section: Section) -> list[str]:
    """The items of a section as lines of Markdown."""
    match section.kind:
        case "code":
            return ["```yaml", *(str(item).rstrip() for item in section.items), "```"]
        case "properties":
            return [f"* {pair[0]}: {pair[1]}" for pair in section.items if isinstance(pair, tuple)]
        case "checklist":
            marks = {True: "[x]", False: "[ ]", None: "[?]"}
            return [
                f"* {marks[point.met]} {point.asks} ({point.evidence})"
                for point in section.items
                if isinstance(point, ChecklistPoint)
            ]
        case "cards":
            return [
                " ".join(
                    [
                        f"* **{card.title}**: {card.text}",
                        *(f"{name}: {text}." for name, text in card.properties if "Knobs" in name),
                    ]
                )
                for card in section.items
                if isinstance(card, MethodCard)
            ]
        case _:
            return [f"* {item}" for item in section.items]


@cache
def _load_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["keep_together"] = _keep_together
    environment.filters["image"] = _embed_image
    environment.filters["download"] = _embed_text
    environment.filters["key_column"] = _find_key_column
    return environment.get_template("page.html.j2")


def _keep_together(text: str) -> str:
    """A text whose lines do not break within `n = 3` or `98.9 ± 0.7 %`."""
    for mark in (" = ", " ± "):
        text = text.replace(mark, mark.replace(" ", "\u00a0"))
    return text.replace(" %", "\u00a0%")


def _find_key_column(table: Table) -> int:
    """The column that stays visible when a table is scrolled: that of the methods, or the first."""
    return table.head.index("Method") if "Method" in table.head else 0


def _embed_image(picture: Picture) -> str:
    """The picture as a data URI, an SVG where there is one: it stays sharp."""
    kind = "svg" if "svg" in picture.files else "png"
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{media};base64,{base64.b64encode(picture.files[kind]).decode()}"


def _embed_text(text: str, media: str = "text/csv") -> str:
    """A text as a data URI."""
    return f"data:{media};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
