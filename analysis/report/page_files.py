"""The files of a page: figures, tables and the page itself, in the formats that are asked for."""

from collections.abc import Sequence

from analysis.figures.canvas import KINDS as PICTURE_FORMATS
from analysis.report.page import Page

FORMATS = (*PICTURE_FORMATS, "csv", "md", "tex", "html", "json")
# PNG is drawn on request: it takes a third of the time of a report, papers take PDF, pages SVG.
DEFAULT_FORMATS = tuple(kind for kind in FORMATS if kind != "png")


def choose_picture_formats(formats: Sequence[str]) -> tuple[str, ...] | None:
    """The formats that figures are drawn in, for some formats of a report; None where no figure is
    needed. The HTML page needs an SVG or a PNG."""
    if set(formats) <= {"tex", "json"}:
        return None
    chosen = tuple(kind for kind in PICTURE_FORMATS if kind in formats)
    if "html" in formats and not {"svg", "png"} & set(chosen):
        return (*chosen, "svg")
    return chosen


def list_page_files(page: Page, formats: Sequence[str]) -> dict[str, bytes]:
    """The content of the files of a page, by path, in the formats that are asked for."""
    files: dict[str, bytes] = {}
    for picture in page.pictures:
        files |= {
            f"figures/{picture.name}.{kind}": content
            for kind, content in picture.files.items()
            if kind in formats
        }
        if "csv" in formats:
            numbers = picture.data.to_csv(index=False, lineterminator="\n")
            files[f"figures/{picture.name}.csv"] = numbers.encode()
    for table in page.tables:
        writers = {"md": table.to_markdown, "tex": table.to_latex, "csv": table.to_csv}
        files |= {
            f"tables/{table.name}.{kind}": write().encode()
            for kind, write in writers.items()
            if kind in formats
        }
    files |= {"report.md": page.to_markdown(formats).encode()} if "md" in formats else {}
    files |= {"report.html": page.to_html().encode()} if "html" in formats else {}
    return files
