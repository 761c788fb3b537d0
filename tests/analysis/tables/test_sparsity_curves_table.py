"""How far methods can prune, as a table."""

import re
from pathlib import Path

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.sparsity_curves_table import make_sparsity_curves_table
from tests.analysis.synthetic import Writer, make_row


def test_how_far_a_method_goes(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed, test_top1=95.0)])
        for method, losses in (("magnitude", (0.0, 0.5)), ("snip", (0.5, 4.5 + 0.1 * seed))):
            for sparsity, loss in zip((0.5, 0.9), losses, strict=True):
                writer.add([make_row(method, sparsity, seed, test_top1=95.0 - loss)])
    table = make_sparsity_curves_table(collect_results(load_study(writer.finish())))
    ends = ("Area", "n", "Over (%)", "To the best", "p (Holm)")
    assert table.head == ("Method", "Critical (%)", "n", "Density to the best", "p (Holm)", *ends)
    magnitude, snip = table.cells
    assert magnitude[:5] == ("Magnitude", "at least 90", "3", "–", "–")
    assert magnitude[6:] == ("3", "50 to 90", "–", "–")
    assert re.fullmatch(r"58\.\d+ \[[\d.]+, [\d.]+\]", snip[1])
    assert snip[8].startswith("−2.") and float(snip[9]) < 0.05
    assert table.raw["at_least"].tolist() == [True, False]
