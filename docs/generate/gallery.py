"""Draws the pictures of the gallery from real studies, and prints its page.

    python docs/generate/gallery.py studies/digits studies/three_networks studies/gallery_search \
        > docs/gallery.md

Published numbers are drawn from the recorded rows of a replication. The page `report.html` is
photographed by Chromium, which must be there as `chromium`.
"""

import io
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from gallery_page import ALL, SEARCHES, write_page
from PIL import Image, ImageColor

from analysis.figures import canvas
from analysis.figures.critical_difference import draw_ranking
from analysis.figures.published_comparison import draw_published
from analysis.figures.two_studies import draw_versus
from analysis.method_styles import METHODS
from analysis.reading.load import load_study
from analysis.replications.recorded_rows import read_recorded
from analysis.report.figures_and_tables import FIGURES
from analysis.report.study_report import make_page
from analysis.series import Setting
from analysis.statistics.results import Results, collect_results
from analysis.statistics.study_comparison import compare_studies

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "assets" / "gallery"
DPI = 103  # of a picture: at twice that it takes three times as much
COLOURS = 16  # beside those of methods and greys
GREYS = (*range(0, 240, 24), 238, 245, 250, 255)
PAGE, PAGE_WIDTH = (1180, 1400), 880  # pixels of the page that is photographed, and as it is shown


def draw_pictures(digits: Path, networks: Path, search: Path) -> dict[str, bytes]:
    """The pictures as PNG, by kind."""
    canvas.DPI = DPI
    study, several = load_study(digits), load_study(networks)
    results, ranked = collect_results(study), collect_results(several)
    pictures = {
        draw.__module__.rpartition(".")[2]: draw(found, _find_resnet(found), ("png",))
        for draw in FIGURES
        for found in [ranked if draw.__name__ == "draw_iterations" else results]
    }
    pictures["critical_difference"] = draw_ranking(ranked, ("png",))
    pictures["two_studies"] = draw_versus(compare_studies(study, several), ("png",))
    pictures["published_comparison"] = draw_published(_read_replication(), ("png",))
    of_search = make_page(load_study(search), formats=("png",)).pictures
    for shown in SEARCHES:
        pictures[shown.kind] = [one for one in of_search if one.name.startswith(shown.file)]
    for shown in ALL:
        for picture in pictures.get(shown.kind, []):
            assert picture.name.startswith(shown.file), f"{shown.kind} draws {picture.name}"
    return {kind: shrink(found[0].files["png"]) for kind, found in pictures.items()}


def _find_resnet(results: Results) -> Setting:
    return next(setting for setting in results.settings if setting.model == "resnet8")


def _read_replication() -> Results:
    """The recorded rows of a replication, with the published numbers of its study file."""
    recorded = read_recorded(ROOT / "docs" / "replications" / "snip_lenet.parquet")
    preset = yaml.safe_load((ROOT / "sweeps" / "presets" / "snip_lenet.yaml").read_text())
    return collect_results(replace(recorded.as_study(), spec={"published": preset["published"]}))


def shrink(png: bytes) -> bytes:
    """A picture of few colours: shades of grey, those of the methods, and some of the others."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int32)
    flat = image.reshape(-1, 3)
    pixels, places = np.unique(flat, axis=0, return_inverse=True)
    coloured = flat[np.ptp(flat, axis=1) > 8]
    palette = [(grey, grey, grey) for grey in GREYS]
    palette += [ImageColor.getrgb(style.colour) for style in METHODS.values()]
    if len(coloured):
        strip = Image.fromarray(coloured[None].astype(np.uint8)).quantize(COLOURS)
        palette += list(zip(*[iter(strip.getpalette() or [])] * 3, strict=True))
    distances = ((pixels[:, None] - np.array(palette)[None]) ** 2).sum(2)
    few = Image.fromarray(distances.argmin(1)[places].reshape(image.shape[:2]).astype(np.uint8))
    few.putpalette([value for colour in palette for value in colour])
    buffer = io.BytesIO()
    few.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def photograph(digits: Path) -> bytes:
    """The beginning of a study's report, as a browser shows it."""
    page = make_page(load_study(digits))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "report.html").write_text(page.to_html())
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--hide-scrollbars",
                f"--window-size={PAGE[0]},{PAGE[1]}",
                f"--screenshot={folder}/page.png",
                f"file://{folder}/report.html",
            ],
            check=True,
            capture_output=True,
        )
        image = Image.open(Path(folder) / "page.png").convert("RGB")
        image.thumbnail((PAGE_WIDTH, PAGE_WIDTH * PAGE[1]))
        buffer = io.BytesIO()
        image.save(buffer, format="png")
        return shrink(buffer.getvalue())


if __name__ == "__main__":
    digits, networks, search = map(Path, sys.argv[1:])
    PICTURES.mkdir(exist_ok=True)
    drawn = draw_pictures(digits, networks, search) | {"inline_accuracy": photograph(digits)}
    for kind, content in drawn.items():
        (PICTURES / f"{kind}.png").write_bytes(content)
    print(write_page(), end="")
