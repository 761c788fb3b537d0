"""The documentation: it builds without a warning, loads nothing from elsewhere, its links resolve,
its commands run."""

import json
import os
import re
import shlex
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from pruning import registry
from sweeps import full_study
from tests.markdown_blocks import read_files, write_files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
    "video": "src",
}
MARKED = re.compile(r"^<!-- runs( slow)? -->\n```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What a page names in code format: `sweeps/running/run.py`, `sweeps.running.run`.
FOLDERS = "analysis|benchmarks|clusters|docs|models|pruning|sweeps|tests|trainables"
NAMED_PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
NAMED_MODULE = re.compile(r"`((?:analysis|models|pruning|sweeps|trainables)(?:\.\w+)+)`")
TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]


METHODS = [name for name in registry.list_methods() if registry.find_user_method(name) is None]


# The files as they are read on a forge


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_between_files_resolve(page: Path) -> None:
    text = re.sub(r"^(```+).*?^\1", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target
    assert not re.search(r"\]\(https://github.com/[^)]*/blob/", text), (
        "link files of the repository by their path"
    )


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_and_modules_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    for named in NAMED_PATH.findall(text):
        assert (ROOT / named).exists() or named in read_files(text), named
    for module in NAMED_MODULE.findall(text):
        path = ROOT / module.replace(".", "/")
        if path.name in ("json", "py"):
            continue  # the name of a file, such as one of the user's or of a study directory
        parents = (path.parent.with_suffix(".py"), path.parent / "__init__.py")
        inside = any(path.name in file.read_text() for file in parents if file.is_file())
        assert path.is_dir() or path.with_suffix(".py").is_file() or inside, module


def test_questions_are_answered_in_the_files_that_the_architecture_names() -> None:
    text = (DOCS / "architecture.md").read_text()
    rows = re.findall(r"^\| [A-Z].*\? .*\| \[`(.+)`\]\(\.\./(.+)\) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 25
    for shown, target, names in rows:
        assert shown == target
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", (ROOT / target).read_text()), f"{target}: {name}"


def test_pictures_are_whole_files() -> None:
    for path in DOCS.rglob("*.svg"):
        text = path.read_text()
        assert "<title>" in text or path.name == "watch.svg"
        assert not re.search(r"""(href|src)=["'](?!#)""", text), path
        assert not re.search(r"url\((?!#|['\"]?#)", text), path


# Code blocks that are marked as runnable: <!-- runs --> before them


def run(block: str, folder: Path) -> str:
    """Run a block as a shell does, in a folder that looks like the project's; studies get a Ray of
    their own."""
    block = re.sub(
        r"^(python sweeps/full_study\.py --study \S+(?: --seeds \S+)?)$",
        r"\1 --address local",
        block,
        flags=re.M,
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", block],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the project's packages and none of its studies."""
    for name in ("analysis", "models", "pruning", "sweeps", "trainables", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


RUNNABLE = [page for page in [*PAGES, ROOT / "README.md"] if MARKED.search(page.read_text())]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_marked_blocks_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell does on the first page, in this process on the others: every start costs
    seconds."""
    monkeypatch.chdir(folder)
    write_files(
        "".join(f'```yaml title="{n}"\n{b}```\n' for n, b in read_files(page.read_text()).items()),
        folder,
    )
    for slow, block in MARKED.findall(page.read_text()):
        if not slow and page.name == "index.md":
            run(block, folder)
        elif not slow:
            for line in block.splitlines():
                python, script, *words = shlex.split(line)
                assert (python, script) == ("python", "sweeps/full_study.py")
                assert full_study.main(words) == 0, line
    assert not (folder / "studies").exists(), "only blocks marked as slow may run a study"


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_slow_marked_blocks_run(page: Path, folder: Path) -> None:
    blocks = [block for slow, block in MARKED.findall(page.read_text()) if slow]
    if not blocks:
        pytest.skip("no block of this page is marked as slow")
    write_files(page.read_text(), folder)
    outputs = [run(block, folder) for block in blocks]
    if page.name == "index.md":
        assert "10 of 10 trials done" in outputs[0] and "15 of 15 trials done" in outputs[1]
        assert re.search(r"^Magnitude .*\d\d\.\d\d \[\d", outputs[2], re.MULTILINE)
        assert (folder / "studies/first/report/report.html").exists()


def test_there_are_runnable_blocks() -> None:
    assert {page.name for page in RUNNABLE} >= {"index.md", "study-file.md"}


# The built site


class Reader(HTMLParser):
    """What a page loads, what it links, and the places in it that can be linked."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.loads.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])
        self.loads += [given["srcset"]] if "srcset" in given else []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    if find_spec("material") is None or find_spec("mkdocs") is None:
        pytest.skip("mkdocs-material is not installed: pip install --editable '.[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Reader]:
    """All pages by path; the page for what is not found is left out, it is written for a server."""
    readers = {}
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":
            reader = Reader()
            reader.feed(path.read_text())
            readers[path.relative_to(site).as_posix()] = reader
    return readers


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_page(method: str, site: Path) -> None:
    text = (site / "methods" / f"{method}.html").read_text()
    kind = registry.find_method_class(method)
    plain = unescape(re.sub(r"<[^>]+>", "", text))
    assert kind.card.formula in plain
    assert all(f"<code>{knob}</code>" in text for knob in kind.model_fields)
    tables = [pd.read_csv(path) for path in DOCS.glob("*.csv")]
    if any(method in set(table["method"]) for table in tables):  # a new one is in none yet
        figure = site / "methods" / f"{method}.svg"
        assert f'src="{method}.svg"' in text and figure.read_bytes().startswith(b"<?xml")
    for number in re.findall(r"arXiv (\d{4}\.\d{5})", kind.card.paper):
        assert f'href="https://arxiv.org/abs/{number}"' in text


def test_links_resolve(site: Path, pages: dict[str, Reader]) -> None:
    assert len(pages) > 50
    for name, page in pages.items():
        for link in page.links:
            target, _, place = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (site / name).parent / unquote(target) if target else site / name
            assert path.is_file(), f"{name}: {link}"
            if place and path.suffix == ".html":
                known = pages[path.resolve().relative_to(site.resolve()).as_posix()].places
                assert unquote(place) in known, f"{name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Reader]) -> None:
    for name, page in pages.items():
        assert page.loads
        for resource in page.loads:
            assert not re.match(r"([a-z]+:)?//", resource), f"{name}: {resource}"
            assert (
                resource.startswith("data:")
                or ((site / name).parent / resource.partition("?")[0]).is_file()
            ), resource
        text = (site / name).read_text()
        assert 'class="mermaid' not in text, (
            "the theme would load its drawing program from elsewhere"
        )
        for style in re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL):
            assert "http" not in style
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text()), path


def test_search_works_without_a_server(site: Path) -> None:
    script = (site / "search" / "search_index.js").read_text()
    entries = json.loads(script.removeprefix("var __index = "))["docs"]
    titles = {entry["title"] for entry in entries if entry["location"].startswith("methods/")}
    assert {registry.find_method_class(method).card.title for method in METHODS} <= titles
    assert "assets/iframe-worker.js" in (site / "index.html").read_text()


def test_study_reference_has_every_field(site: Path) -> None:
    from sweeps.study_file.study import StudySpec
    from trainables.training.recipe import Recipe

    text = (site / "study-file.html").read_text()
    assert all(
        f"<code>{name}</code>" in text
        for model in (StudySpec, Recipe)
        for name in model.model_fields
    )


def test_decisions_are_listed(site: Path) -> None:
    text = (site / "decisions" / "index.html").read_text()
    assert all(f'href="{path.stem}.html"' in text for path in (DOCS / "decisions").glob("0*.md"))
