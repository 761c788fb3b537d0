"""Links between the pages and into the repository, so that they hold on GitHub and in the built
site.

A page in `docs/` links a file outside of it by its path, as in `../benchmarks/RESULTS.md`. The site
has a copy of every file so linked, below `repository/`: Markdown as a page, anything else as a page
that shows it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIES = "repository/"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "sh", ".toml": "toml"}
_FENCE = re.compile(r"^(```+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(\))")


def change_links(text: str, change: Callable[[str], str]) -> str:
    """A page with every relative link target outside of code blocks changed; what follows a #
    stays."""
    parts, end = [], 0
    for fence in [*_FENCE.finditer(text), None]:
        prose = text[end : fence.start() if fence else len(text)]
        parts.append(
            _LINK.sub(lambda link: f"{link[1]}{change(link[2])}{link[3] or ''}{link[4]}", prose)
        )
        if fence:
            parts.append(fence[0])
            end = fence.end()
    return "".join(parts)


def find_place(uri: str) -> str:
    """The path in the repository of a page of the site."""
    if not uri.startswith(COPIES):
        return f"docs/{uri}"
    path = uri.removeprefix(COPIES)
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def find_uri(path: str) -> str:
    """The page of the site that stands for a path in the repository."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        uri = path.removeprefix("docs/")
        return f"{uri}/README.md" if (ROOT / path).is_dir() else uri
    return COPIES + (path if path.endswith(".md") else f"{path}.md")


def list_linked(text: str, uri: str) -> set[str]:
    """Paths in the repository, outside of `docs/`, that a page links."""
    linked: set[str] = set()

    def note(target: str) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(find_place(uri)), target))
        if find_uri(path).startswith(COPIES):
            linked.add(path)
        return target

    change_links(text, note)
    return linked


def rewrite(text: str, uri: str) -> str:
    """A page with its links as the site needs them."""

    def change(target: str) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(find_place(uri)), target))
        return posixpath.relpath(find_uri(path), posixpath.dirname(uri) or ".")

    return change_links(text, change)


def write_copy(path: str) -> str:
    """The page for a file outside of `docs/`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    text = (ROOT / path).read_text()
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text}\n````\n"
