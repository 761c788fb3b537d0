"""What the documentation site has beyond the files in `docs/`, made from the code at every build.
MkDocs calls it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import draw_method
from links import COPIES, find_place, find_uri, list_linked, rewrite, write_copy
from measured import find_study
from methods import FIGURES, link_methods, list_pages, write_page
from mkdocs.structure.files import File, Files
from reference import write_fields

from pruning import registry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the methods and the decisions into the navigation."""
    decisions = sorted(
        path.relative_to(DOCS).as_posix() for path in (DOCS / "decisions").glob("0*.md")
    )
    more: dict[str, list[Any]] = {"Methods": list_pages(), "Decisions": list(decisions)}
    _extend(config.nav or [], more)
    return config


def _extend(nav: list[Any], more: dict[str, list[Any]]) -> None:
    """Add pages to the sections of these titles, at any depth, once."""
    for entry in nav:
        for title, pages in entry.items() if isinstance(entry, dict) else ():
            if isinstance(pages, list):
                pages += [page for page in more.get(title, []) if page not in pages]
                _extend(pages, more)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the methods' pages and figures, and copies of what is linked outside of `docs/`."""
    for name in registry.list_methods():
        _add(files, config, f"methods/{name}.md", write_page(name))
        if study := find_study(name):
            _add(files, config, f"methods/{name}.svg", draw_method(study.table, name))
    for uri in _list_pages(config.nav or []):
        if uri.startswith(COPIES):
            _add(files, config, uri, write_copy(find_place(uri)))
    new = {file.src_uri: file.content_string for file in files if file.src_uri.endswith(".md")}
    while new:
        linked = {path for uri, text in new.items() for path in list_linked(text, uri)}
        new = {
            find_uri(path): write_copy(path)
            for path in sorted(linked)
            if find_uri(path) not in files.src_uris
        }
        for uri, text in new.items():
            _add(files, config, uri, text)
    return files


def _list_pages(nav: Any) -> list[str]:
    """The pages that a part of the navigation names."""
    match nav:
        case dict():
            return _list_pages(list(nav.values()))
        case list():
            return [page for entry in nav for page in _list_pages(entry)]
        case _:
            return [nav]


def _add(files: Files, config: MkDocsConfig, uri: str, content: str | bytes) -> None:
    files.append(File.generated(config, uri, content=content))


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Fill in what is made from the code, and turn links into the repository into links to its
    copies."""
    uri = page.file.src_uri
    if uri == "methods.md":
        markdown = link_methods(markdown) + FIGURES
        page.meta["hide"] = ["toc"]  # the table needs the room
    if uri == "study-file.md":
        markdown += "\n" + write_fields()
    if uri == "decisions/README.md":
        files = sorted((DOCS / "decisions").glob("0*.md"))
        titles = {path.name: path.read_text().partition("\n")[0].lstrip("# ") for path in files}
        markdown += (
            "\n" + "\n".join(f"* [{title}]({name})" for name, title in titles.items()) + "\n"
        )
    if uri.startswith(COPIES) and not (ROOT / uri.removeprefix(COPIES)).is_file():
        return markdown  # a file of code is shown as it is
    return rewrite(markdown, uri)
