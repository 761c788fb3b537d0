"""Files of figures: of every kind, with embedded fonts, whatever the reader's own style.

Covers: analysis/figures/pdf_fonts.py.
"""

import io
import re
import warnings
import zlib
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.font_manager import findfont as find_font
from matplotlib.image import imread
from matplotlib.lines import Line2D

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.canvas import Canvas, find_boxed_letters, style
from analysis.reading.load import load_study
from analysis.report.study_report import make_page
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row, write_study


def test_files_of_all_kinds(tmp_path: Path) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5, 0.9)))
    )
    load_font = subset.load_font
    (picture,) = draw_accuracy(results, results.settings[0], ("png", "pdf", "svg"))
    assert set(picture.files) == {"png", "pdf", "svg"}
    assert picture.files["pdf"].startswith(b"%PDF") and b"CreationDate" not in picture.files["pdf"]
    assert b"/Type3" not in picture.files["pdf"]
    assert b"/ToUnicode" in picture.files["pdf"]  # text can be searched and copied
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", picture.files["pdf"], re.DOTALL)
    plain = [zlib.decompress(one) for one in streams if one.startswith(b"x")]
    fonts = [TTFont(io.BytesIO(one)) for one in plain if one.startswith(b"\0\1\0\0")]
    assert fonts
    for font in fonts:
        assert {"glyf", "hmtx", "loca", "head"} <= set(font.keys())
        assert not {"GSUB", "GPOS", "GDEF"} & set(font.keys())
        # Not the time of writing: the PDFs of equal studies are equal.
        assert font["head"].modified == TTFont(find_font("DejaVu Sans"))["head"].modified
    assert subset.load_font is load_font  # others find it as it was
    assert b"<svg" in picture.files["svg"] and b"<dc:date>" not in picture.files["svg"]
    assert imread(io.BytesIO(picture.files["png"])).shape[1::-1] == picture.size


def test_the_reader_s_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    results = collect_results(
        load_study(
            write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.9,))
        )
    )
    plain = draw_accuracy(results, results.settings[0], ("png",))[0].files
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "figure.dpi": 30}):
        assert draw_accuracy(results, results.settings[0], ("png",))[0].files == plain


def test_a_long_title_keeps_both_ends_and_stays_on_the_figure() -> None:
    """What tells two figures apart is at the end of the title: data set and network."""
    name = "a_rather_long_name_of_a_package.of_networks:with_a_function_" + "x" * 40
    for length, network in ((100, name[:55]), (200, name * 2)):
        title = f"Test top-1 accuracy against sparsity, cifar10, {network}-{length}"
        with style():
            figure = Canvas(title, heights=[1.0]).figure
            box = figure.texts[0].get_window_extent()
        text = figure.texts[0].get_text()
        assert text.startswith("Test top-1 accuracy") and text.endswith(f"-{length}")
        assert box.x1 <= figure.bbox.x1
    assert " ... " in text and figure.texts[0].get_fontsize() == 7


def test_a_dollar_in_a_name_is_a_dollar() -> None:
    """Between two of them matplotlib reads formulas, and ends with those that are none."""
    with style():
        canvas = Canvas("costs $1, not $\\frac$", heights=[1.0], foot="study a$_b$")
        canvas.add_legend(0, [Line2D([], [], label="$x_1$ pruning")])
        svg = canvas.save(("svg", "pdf", "png"))[0]["svg"].decode()
    for text in ("costs $1, not $\\frac$", "$x_1$ pruning", "study a$_b$"):
        assert f"<!-- {text} -->" in svg


def test_letters_that_the_font_lacks_are_found_and_told_once(tmp_path: Path) -> None:
    assert find_boxed_letters(["Lottery ticket ± ≤ ½ ж", "SNIP"]) == ""
    assert find_boxed_letters(["剪枝 a", "剪🌱"]) == "剪枝🌱"
    writer = Writer(tmp_path / "s", name="剪枝")
    writer.add([make_row("magnitude", 0.5, 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = make_page(load_study(writer.finish()), formats=("png", "html"))
    (told,) = [section for section in page.sections if section.title == "Warnings"]
    assert told.items == (
        "figures show boxes for letters of this study's names that their font lacks: 剪枝",
    )
