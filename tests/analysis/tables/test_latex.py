"""Tables as LaTeX: compiled in classes of one and two columns where there is an engine, else read
strictly.

Covers: analysis/tables/latex.py, analysis/tables/latex_layout.py, analysis/tables/table.py.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.report.figures_and_tables import make_tables
from analysis.statistics.results import Results, collect_results
from analysis.tables.latex import escape
from analysis.tables.latex_layout import TEXT_WIDTH, lay_out, measure, wrap_heading
from analysis.tables.table import Table
from tests.analysis.synthetic import Writer, make_row

SIGNS = r"""50% & more_of #1 {x} ~ ^ \ $y$ <a> | ± – ×"""
HOSTILE = f"{SIGNS} ČÇé ï ß µ"
KNOWN = {
    *("begin", "end", "centering", "small", "footnotesize", "scriptsize", "caption", "label"),
    *("ref", "textbf", "toprule", "midrule", "bottomrule", "par", "smallskip", "clearpage"),
    *("addtocounter", "emergencystretch", "setlength", "tabcolsep", "shortstack", "textwidth"),
    *("raggedright", "arraybackslash", "textbackslash", "textasciitilde", "textasciicircum"),
    *("textless", "textgreater", "textbar", "pm", "times"),
    *("c", "v", "ss", "mu"),
}


def test_escaping() -> None:
    assert escape("a_b & 90 %") == r"a\_b \& 90 \%"
    assert escape("93.26 ± 0.31") == r"93.26 $\pm$ 0.31"
    bare = re.sub(r"\\[a-z]+\{\}|\\[&%$#_{}]|\$\\(pm|times)\$", "", escape(SIGNS))
    assert not set(bare) & set(r"&%$#_{}~^\<>|±–×")


def test_letters_of_other_languages() -> None:
    """As LaTeX has spelled them in every encoding; a letter that it has no command for is ?"""
    assert escape("Müller é ê ñ ğ ő") == r"M{\" u}ller {\' e} {\^ e} {\~ n} {\u g} {\H o}"
    assert escape("Ångström Šß ł — µs") == r"{\r A}ngstr{\" o}m {\v S}{\ss} {\l} --- $\mu$s"
    assert escape("e\u0301") == escape("é") and escape("中文, 50 %") == r"??, 50 \%"


def check_latex(source: str) -> None:
    """Read a table strictly: known commands only, balanced groups and environments, and in every
    part as many cells in each row as it has columns."""
    source = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    assert set(re.findall(r"\\([a-zA-Z]+)", source.replace(r"\\", " "))) <= KNOWN
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", source):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    plain = re.sub(r"\\[\\&%$#_{}^~]", lambda match: "\n" if match[0] == "\\\\" else "", source)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[%#^]", plain)
    assert source.isascii()
    ragged = r">{\raggedright\arraybackslash}X"
    parts = re.findall(
        r"\\begin\{tabularx?\}(?:\{\\textwidth\})?\{([^\n]*)\}\n(.*?)\\end\{tabularx?\}",
        source,
        flags=re.DOTALL,
    )
    assert parts
    for columns, body in parts:
        count = len(columns.replace(ragged, "X"))
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows and not any(row.startswith("[") for row in rows)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {count}


def compile_latex(folder: Path, *sources: str) -> None:
    """Read tables strictly and, where there is an engine, compile them in classes of one and of two
    columns: nothing is wider or higher than the page."""
    for source in sources:
        check_latex(source)
    engine = shutil.which("pdflatex")
    if engine is None:
        return
    for options in ("", "twocolumn"):
        head = rf"\documentclass[{options}]{{article}}\usepackage{{booktabs,tabularx}}"
        body = "\n\\clearpage\n".join(sources)
        text = f"{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
        (folder / "t.tex").write_text(text)
        done = subprocess.run(
            [engine, "-halt-on-error", "t.tex"],
            cwd=folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        log = done.stdout.decode(errors="replace")
        assert done.returncode == 0, log[-2000:]
        complaints = re.findall(r"Overfull.*|.*Float too large.*", log)
        assert not complaints, (options, complaints[:5])


def test_every_table_of_a_study_fits_on_the_page(tmp_path: Path, everything: Results) -> None:
    tables = make_tables(everything, bootstrap=True)
    assert len(tables) >= 8
    compile_latex(tmp_path, *(table.to_latex() for table in tables))


def test_hostile_names(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "s")
    writer.add([make_row("magnitude", 0.5, 1, dataset=HOSTILE)], outcome="done")
    writer.add([make_row("odd_method", 0.5, 1, knobs='{"n:m": "2&4_%"}')])
    writer.add([make_row("odd_method", 0.9, 1)])
    results = collect_results(load_study(writer.finish().rename(tmp_path / "t")))
    compile_latex(tmp_path, *(table.to_latex() for table in make_tables(results)))


def make_table(head: tuple[str, ...], row: tuple[str, ...], count: int, texts: int = 1) -> Table:
    bold = frozenset({(0, 1), (2, 0)})
    rows = (row,) * count
    return Table("t", "Title", "Caption.", head, rows, texts, frozenset({3}), pd.DataFrame(), bold)


def test_a_narrow_table_is_one_of_a_column() -> None:
    source = make_table(("A", "B", "C"), ("[x]", "1.00 ± 0.10", "−2.00"), 4).to_latex()
    assert r"\begin{table}" in source and r"\begin{tabular}{lrr}" in source
    assert r"\textbf{1.00 $\pm$ 0.10} & $-$2.00" in source
    assert "continued" not in source


def test_a_wide_table_wraps_its_texts_or_is_split(tmp_path: Path) -> None:
    long = "a method with quite a long name of its own"
    wraps = make_table(
        ("Method", "Sparsity", *"BCD"), (long, "0.5", *["98.9 [97.0, 99.1]"] * 3), 3
    ).to_latex()
    assert r"\begin{tabularx}{\textwidth}{>{\raggedright\arraybackslash}Xrrrr}" in wraps
    assert wraps.count(r"\begin{table*}") == 1
    split = make_table(("Method", *"BCDEFGHIJ"), (long, *["98.9 [97.0, 99.1]"] * 9), 3).to_latex()
    assert split.count(r"\begin{table*}") >= 2 and "Title, continued." in split
    assert split.count(r"\addtocounter{table}{-1}") == split.count(r"\begin{table*}") - 1
    assert split.count(r"\label{tab:t}") == 1
    assert split.count(long) == 3 * split.count(r"\begin{table*}")  # beside every number
    compile_latex(tmp_path, wraps, split)


def test_a_long_table_is_split_into_pages(tmp_path: Path) -> None:
    source = make_table(("A", "B", "C"), ("[x]", "1.00 ± 0.10", "−2.00"), 150).to_latex()
    parts = source.count(r"\begin{table}")
    assert 3 <= parts <= 5
    counts = [part.count("x]") for part in source.split(r"\end{table}")[:-1]]
    assert sum(counts) == 150 and max(counts) - min(counts) <= 6
    compile_latex(tmp_path, source)


def test_captions_refer_to_other_tables() -> None:
    table = make_table(("A", "B"), ("x", "1"), 3)
    source = Table(
        *("t", "T", "All: table 'versus-best'.", table.head, table.cells, 1),
        *(frozenset(), table.raw),
    ).to_latex()
    assert r"All: table~\ref{tab:versus-best}." in source


@pytest.mark.parametrize("columns", [1, 4, 9, 20])
def test_no_part_is_wider_than_the_page(columns: int) -> None:
    head = ["Method", *(f"Number {index}" for index in range(columns))]
    rows = [["some method (recalibrated)", *["98.92 [97.01, 99.13]"] * columns]] * 5
    heads = [wrap_heading(text, [row[at] for row in rows]) for at, text in enumerate(head)]
    layout = lay_out(heads, rows, 1, "Caption.")
    shown = {column for part in layout.parts for column in part.columns}
    assert shown == set(range(len(head)))
    for part in layout.parts:
        wide = [at for at in part.columns if at not in layout.wraps]
        width = sum(measure(rows[0][at], layout.size) + 2 * layout.gap for at in wide)
        assert width <= TEXT_WIDTH
        assert part.columns[0] == 0


def test_no_few_rows_are_left_over_for_the_last_part() -> None:
    """Names of one and of several lines make parts of unequal numbers of rows: the last had one."""
    for count in range(20, 140, 3):
        names = [
            f"A method {at} with a long name" + " and a longer one" * (at % 7 == 0) * 4
            for at in range(count)
        ]
        rows = [(name, *["91.84 [91.45, 92.22]"] * 3) for name in names]
        layout = lay_out([["Method"], ["50"], ["90"], ["98"]], rows, 1, "A caption. " * 30)
        ranges = list(dict.fromkeys(part.rows for part in layout.parts))
        assert [row for rows in ranges for row in rows] == list(range(count))
        sizes = [len(rows) for rows in ranges]
        assert min(sizes) > 0.6 * max(sizes), (count, sizes)
