"""Files of figures: of every kind, with embedded fonts, whatever the reader's own style.

Covers: analysis/figures/pdf_fonts.py.
"""

import io
import re
import zlib
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.font_manager import findfont as find_font
from matplotlib.image import imread

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import write_study


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
