"""Tables: cells by hand, and LaTeX by an engine where there is one, else by a strict reading."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from synthetic import Writer, make_own_rows, make_row, write_study

from analysis.accuracy import make_accuracy_table, make_levels_table
from analysis.load import Study, load
from analysis.metrics import find_metric
from analysis.tables import Table, collect, escape, format_counts, make_efficiency_table


def make_tables(study: Study) -> tuple[Table, Table]:
    metric = find_metric("test_top1", study.rows)
    cells = collect(study.rows, metric, plan=study.plan)
    return make_efficiency_table(cells, metric), make_accuracy_table(cells, metric)


def make_small_study(folder: Path) -> Study:
    """Magnitude at 0.5: 2 of 3 seeds, 93 and 94; at 0.9: none of 1. A structured method that misses its sparsity."""
    writer = Writer(folder)
    for seed in (1, 2, 3):
        row = make_row("magnitude", 0.5, seed, test_top1=92.0 + seed, bytes=40_000_000, effective_macs=123_456_789.0)
        writer.add([row], outcome="done" if seed < 3 else "missing")
    writer.add([make_row("magnitude", 0.9, 1)], outcome="missing")
    writer.add([make_row("l1_filter", 0.5, 1, sparsity_reached=0.5031, test_top1=91.0, nonzero=None)])
    writer.add([make_row("l1_filter", 0.9, 1, sparsity_reached=0.9004, test_top1=90.0)])
    return load(writer.finish())


def test_cells_by_hand(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    # t(0.975, 1) = 12.7062; s / sqrt(2) = 0.5
    assert efficiency.cells == (
        ("Magnitude", "50", "93.50 ± 6.35 (2/3)", "2", "11.174", "5.592", "40.00", "123.46"),
        ("Magnitude", "90", "– (0/1)", "0", "–", "–", "–", "–"),
        ("L1 filter", "50 (reached 50.31)", "91.00", "1", "11.174", "–", "44.70", "298.30"),
        ("L1 filter", "90", "90.00", "1", "11.174", "1.126", "44.70", "70.08"),
    )
    assert efficiency.rules == {2}
    assert accuracy.head == ("Method", "50 %", "90 %")
    assert accuracy.cells == (
        ("Magnitude", "93.50 ± 6.35 (2/3)", "– (0/1)"),
        ("L1 filter", "91.00", "90.00"),
    )
    assert "what L1 filter reached is in table 'efficiency'" in accuracy.caption


def test_the_longer_side_runs_down(tmp_path: Path) -> None:
    _, accuracy = make_tables(load(write_study(tmp_path / "s", methods=("lottery_ticket",))))
    assert accuracy.head == ("Sparsity (%)", "Dense", "Lottery ticket")
    assert len(accuracy.cells) == 1 + 10
    assert accuracy.cells[0][2:] == ("",)


def test_the_levels_of_a_course_do_not_widen_the_matrix(tmp_path: Path) -> None:
    """A ticket that visits 0.5, as magnitude does, and 0.7, as nobody does; Han's rule reaches 0.41 and 0.62."""
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0)])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=93.0)])
        ticket = [make_row("lottery_ticket", s, seed, level=n, test_top1=90.0 + n) for n, s in ((1, 0.5), (2, 0.7))]
        writer.add(ticket)
        rows = make_own_rows("han_iterative", (0.4 + seed / 100, 0.6 + seed / 100), seed, test_top1=92.0)
        writer.add(rows, outcome="done" if seed == 1 else "missing")
    study = load(writer.finish())
    metric = find_metric("test_top1", study.rows)
    cells = collect(study.rows, metric, plan=study.plan)
    accuracy, levels = make_accuracy_table(cells, metric), make_levels_table(cells, metric)
    assert accuracy.head == ("Method", "0 %", "50 %")
    assert accuracy.cells == (
        ("Dense", "94.00 ± 0.00", ""),
        ("Magnitude", "", "93.00 ± 0.00"),
        ("Lottery ticket", "", "91.00 ± 0.00"),
    )
    assert accuracy.caption.endswith("All levels of Lottery ticket, Han iterative: table 'levels'.")
    assert levels.head == ("Method", "Level", "Sparsity (%)", "Test top-1 accuracy (%)", "n")
    assert levels.cells == (
        ("Lottery ticket", "1", "50", "91.00 ± 0.00", "2"),
        ("Lottery ticket", "2", "70", "92.00 ± 0.00", "2"),
        ("Han iterative", "1", "41 (reached)", "92.00 (1/2)", "1"),
        ("Han iterative", "2", "61 (reached)", "92.00 (1/2)", "1"),
    )
    assert levels.rules == {2}
    assert "(reached): the method's own rule" in levels.caption
    raw = list(csv.DictReader(io.StringIO(levels.to_csv())))
    assert [line["sparsity"] for line in raw] == ["0.5", "0.7", "", ""]
    assert float(raw[2]["sparsity_reached"]) == pytest.approx(0.41)
    assert [row[1] for row in make_efficiency_table(cells, metric).cells][-2:] == ["41 (reached)", "61 (reached)"]


def test_a_study_of_one_rule_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add(make_own_rows("han_iterative", (0.4, 0.6), 1), outcome="missing")
    writer.add([make_row("dense", 0.0, 1)])
    study = load(writer.finish())
    metric = find_metric("test_top1", study.rows)
    cells = collect(study.rows, metric, plan=study.plan)
    assert make_accuracy_table(cells, metric).head == ("Method", "0 %")
    assert make_levels_table(cells, metric).cells == (("Han iterative", "–", "own rule", "– (0/1)", "0"),)


def test_several_settings_share_a_table(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "resnet18"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    efficiency, accuracy = make_tables(load(writer.finish()))
    assert [row[:2] for row in efficiency.cells] == [
        ("cifar10, mlp", "Dense"),
        ("cifar10, mlp", "Magnitude"),
        ("cifar10, resnet18", "Dense"),
        ("cifar10, resnet18", "Magnitude"),
    ]
    assert accuracy.head[0] == "Setting"
    assert accuracy.rules == {2}


def test_captions_say_what_the_numbers_are(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "full", methods=("magnitude",)))
    caption = make_tables(study)[1].caption
    assert caption == (
        "Test top-1 accuracy (%), cifar10, resnet18. "
        "Mean over seeds (n = 3) ± half width of the 95 % Student t-interval."
    )
    study = load(write_study(tmp_path / "one", methods=("magnitude",), seeds=(1,)))
    caption = make_tables(study)[1].caption
    assert "±" not in caption
    assert "one seed has no interval" in caption
    caption = make_tables(make_small_study(tmp_path / "gaps"))[1].caption
    assert "(n = 1 to 2)" in caption
    assert "(k/n): k of n planned seeds" in caption


def test_counts() -> None:
    assert format_counts([3, 3, 0]) == "n = 3"
    assert format_counts([2, 3, 5]) == "n = 2 to 5"
    assert format_counts([0]) == "n = 0"


def test_csv_is_the_numbers(tmp_path: Path) -> None:
    study = make_small_study(tmp_path)
    efficiency, _ = make_tables(study)
    first = next(csv.DictReader(io.StringIO(efficiency.to_csv())))
    assert float(first["mean"]) == 93.5
    assert float(first["half_width"]) == pytest.approx(12.706204736432095 / 2)
    assert (first["n"], float(first["expected"])) == ("2", 3.0)
    assert float(first["bytes"]) == 40_000_000
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(efficiency.to_csv()))[["mean", "sparsity"]], efficiency.raw[["mean", "sparsity"]]
    )


def test_markdown_is_rectangular(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    for table in (efficiency, accuracy):
        lines = table.to_markdown().split("\n\n")[0].splitlines()
        assert {line.count("|") for line in lines} == {len(table.head) + 1}
        assert len({len(line) for line in lines}) == 1
        assert len(lines) == 2 + len(table.cells)
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


HOSTILE = r"""50% & more_of #1 {x} ~ ^ \ $y$ <a> | ± – ×"""


def test_escaping() -> None:
    assert escape("a_b & 90 %") == r"a\_b \& 90 \%"
    assert escape("93.26 ± 0.31") == r"93.26 $\pm$ 0.31"
    bare = re.sub(r"\\[a-z]+\{\}|\\[&%$#_{}]|\$\\(pm|times)\$", "", escape(HOSTILE))
    assert not set(bare) & set(r"&%$#_{}~^\<>|±–×")


def check_latex(source: str) -> None:
    """Read a table strictly: known commands only, balanced groups and environments, equal columns in all rows."""
    source = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    known = {
        "begin",
        "end",
        "centering",
        "small",
        "caption",
        "label",
        "toprule",
        "midrule",
        "bottomrule",
        "pm",
        "times",
    }
    known |= {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"}
    assert set(re.findall(r"\\([a-zA-Z]+)", source)) <= known
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", source):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    plain = re.sub(r"\\[\\&%$#_{}]", lambda found: "\n" if found[0] == "\\\\" else "", source)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[%#~^]", plain)
    assert source.isascii()
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", source)
    assert columns
    rows = [line for line in source.splitlines() if line.endswith(r"\\")]
    assert rows
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}


@pytest.mark.parametrize("which", [0, 1])
def test_latex(tmp_path: Path, which: int) -> None:
    writer = Writer(tmp_path / "s")
    writer.add([make_row("magnitude", 0.5, 1, dataset=HOSTILE)], outcome="done")
    writer.add([make_row("odd_method", 0.5, 1, knobs='{"n:m": "2&4_%"}')])
    writer.add([make_row("odd_method", 0.9, 1)])
    study = load(writer.finish().rename(tmp_path / "t"))
    source = make_tables(study)[which].to_latex()
    check_latex(source)
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine:
        head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        document = f"{head}\n{source}\n" + r"\end{document}"
        (tmp_path / "t.tex").write_text(document)
        subprocess.run([engine, "t.tex"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL, timeout=120)
