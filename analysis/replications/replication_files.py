"""The files of a replication in one folder: its rows `<preset>.parquet`, the page `<preset>.md`,
its figures, and `<preset>.notes.md`, written by hand, which the page takes in."""

from pathlib import Path

from analysis.replications.recorded_rows import read_recorded
from analysis.replications.replication_figures import draw_figures
from analysis.replications.replication_page import write_page
from pruning.user_error import UserError


def find_rows(folder: Path, preset: str) -> Path:
    """Where the rows of a replication are recorded."""
    return folder / f"{preset}.parquet"


def find_page(folder: Path, preset: str) -> Path:
    """Where the page of a replication lies."""
    return folder / f"{preset}.md"


def make_page(folder: Path, preset: str) -> tuple[str, dict[str, bytes]]:
    """The text of a page and its figures by file name, from the recorded rows.

    Raises:
        UserError: there are none.
    """
    path = find_rows(folder, preset)
    if not path.is_file():
        raise UserError(
            f"no rows of '{preset}' in '{folder}': run python sweeps/replicate.py --pages {folder}"
        )
    recorded = read_recorded(path)
    figures = {
        f"{preset}-{picture.name}.png": picture.files["png"] for picture in draw_figures(recorded)
    }
    written = folder / f"{preset}.notes.md"
    notes = written.read_text().strip() if written.is_file() else ""
    return write_page(recorded, figures=list(figures), notes=notes), figures


def write_files(folder: Path, preset: str) -> Path:
    """Write the page and its figures in place of older ones; returns the path of the page.

    Raises:
        UserError: no rows are recorded.
    """
    text, figures = make_page(folder, preset)
    for old in folder.glob(f"{preset}-*.png"):
        old.unlink()
    for name, content in figures.items():
        (folder / name).write_bytes(content)
    page = find_page(folder, preset)
    page.write_text(text)
    return page
