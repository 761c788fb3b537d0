"""Tables: cells by hand, and LaTeX by an engine where there is one, else by a strict reading."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.captions import format_counts, format_duration, format_interval, format_p
from analysis.reading.load import Study, load_study
from analysis.reading.missing_trials import find_missing_trials
from analysis.statistics.results import collect_results
from analysis.tables.accuracy_table import make_accuracy_table, make_levels_table
from analysis.tables.bootstrap_table import make_bootstrap_table
from analysis.tables.cell_text import format_number
from analysis.tables.comparisons_table import make_best_table, make_dense_table
from analysis.tables.completeness_table import make_gaps_table
from analysis.tables.device_time_table import make_costs_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.latex import PAGE, escape
from analysis.tables.table import Table
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study


def make_tables(study: Study) -> tuple[Table, Table]:
    results = collect_results(study)
    return make_efficiency_table(results), make_accuracy_table(results)


def make_small_study(folder: Path) -> Study:
    """Magnitude at 0.5: 2 of 3 seeds, 93 and 94; at 0.9: none of 1. A structured method that misses
    its sparsity."""
    writer = Writer(folder)
    for seed in (1, 2, 3):
        row = make_row(
            "magnitude",
            0.5,
            seed,
            test_top1=92.0 + seed,
            bytes=40_000_000,
            effective_macs=123_456_789.0,
        )
        writer.add([row], outcome="done" if seed < 3 else "missing")
    writer.add([make_row("magnitude", 0.9, 1)], outcome="missing")
    writer.add(
        [make_row("l1_filter", 0.5, 1, sparsity_reached=0.5031, test_top1=91.0, nonzero=None)]
    )
    writer.add([make_row("l1_filter", 0.9, 1, sparsity_reached=0.9004, test_top1=90.0)])
    return load_study(writer.finish())


def test_cells_by_hand(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    head = (
        "Method",
        "Sparsity (%)",
        "Test top-1 accuracy (%)",
        "n",
        "Top-5 (%)",
        "Params (M)",
        "Nonzero (M)",
    )
    assert efficiency.head == (*head, "Size (MB)", "Sparse (MB)", "MACs (M)", "Eff. MACs (M)")
    # t(0.975, 1) = 12.7062; s / sqrt(2) = 0.5; sparse: 40 - 4 x (11.173962 - 5.591786) + 11.173962
    # / 8
    whole = ("11.174", "5.592", "40.00", "19.07", "556.65", "123.46")
    assert [line[:4] + line[5:] for line in efficiency.cells] == [
        ("Magnitude", "50", "93.50 ± 6.35 (2/3)", "2", *whole),
        ("Magnitude", "90", "– (0/1)", "0", *["–"] * 6),
        (
            "L1 filter",
            "50 (reached 50.31)",
            "91.00",
            "1",
            "11.174",
            "–",
            "44.70",
            "–",
            "556.65",
            "298.30",
        ),
        ("L1 filter", "90", "90.00", "1", "11.174", "1.126", "44.70", "5.90", "556.65", "70.08"),
    ]
    assert efficiency.rules == {2}
    assert accuracy.head == ("Method", "50 %", "90 %")
    assert accuracy.cells == (
        ("Magnitude", "93.50 ± 6.35 (2/3)", "– (0/1)"),
        ("L1 filter", "91.00", "90.00"),
    )
    assert "what L1 filter reached is in table 'efficiency'" in accuracy.caption


def test_the_longer_side_runs_down(tmp_path: Path) -> None:
    _, accuracy = make_tables(load_study(write_study(tmp_path / "s", methods=("lottery_ticket",))))
    assert accuracy.head == ("Sparsity (%)", "Dense", "Lottery ticket")
    assert len(accuracy.cells) == 1 + 10
    assert accuracy.cells[0][2:] == ("",)


def test_the_levels_of_a_course_do_not_widen_the_matrix(tmp_path: Path) -> None:
    """A ticket that visits 0.5, as magnitude does, and 0.7, as nobody does; Han's rule reaches 0.41
    and 0.62."""
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0)])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=93.0)])
        ticket = [
            make_row("lottery_ticket", s, seed, level=n, test_top1=90.0 + n)
            for n, s in ((1, 0.5), (2, 0.7))
        ]
        writer.add(ticket)
        rows = make_own_rows(
            "han_iterative", (0.4 + seed / 100, 0.6 + seed / 100), seed, test_top1=92.0
        )
        writer.add(rows, outcome="done" if seed == 1 else "missing")
    study = load_study(writer.finish())
    results = collect_results(study)
    accuracy, levels = make_accuracy_table(results), make_levels_table(results)
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
    assert [row[1] for row in make_efficiency_table(results).cells][-2:] == [
        "41 (reached)",
        "61 (reached)",
    ]


def test_a_study_of_one_rule_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add(make_own_rows("han_iterative", (0.4, 0.6), 1), outcome="missing")
    writer.add([make_row("dense", 0.0, 1)])
    study = load_study(writer.finish())
    results = collect_results(study)
    assert make_accuracy_table(results).head == ("Method", "0 %")
    assert make_levels_table(results).cells == (("Han iterative", "–", "own rule", "– (0/1)", "0"),)


def test_several_settings_share_a_table(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "resnet18"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    efficiency, accuracy = make_tables(load_study(writer.finish()))
    assert [row[:2] for row in efficiency.cells] == [
        ("cifar10, mlp", "Dense"),
        ("cifar10, mlp", "Magnitude"),
        ("cifar10, resnet18", "Dense"),
        ("cifar10, resnet18", "Magnitude"),
    ]
    assert accuracy.head[0] == "Setting"
    assert accuracy.rules == {2}


def test_captions_say_what_the_numbers_are(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "full", methods=("magnitude",)))
    caption = make_tables(study)[1].caption
    assert caption == (
        "Test top-1 accuracy (%), cifar10, resnet18. "
        "Mean over seeds (n = 3) ± half width of the 95 % Student t-interval."
    )  # one method has no rival: nothing is bold
    study = load_study(write_study(tmp_path / "one", methods=("magnitude",), seeds=(1,)))
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
        pd.read_csv(io.StringIO(efficiency.to_csv()))[["mean", "sparsity"]],
        efficiency.raw[["mean", "sparsity"]],
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


KNOWN = {
    "begin",
    "end",
    "centering",
    "small",
    "footnotesize",
    "scriptsize",
    "tiny",
    "caption",
    "label",
    "textbf",
}
KNOWN |= {
    "toprule",
    "midrule",
    "bottomrule",
    "endhead",
    "endfirsthead",
    "endfoot",
    "begingroup",
    "endgroup",
}
KNOWN |= {
    "textbackslash",
    "textasciitilde",
    "textasciicircum",
    "textless",
    "textgreater",
    "textbar",
    "pm",
    "times",
}
KNOWN |= {"setlength", "tabcolsep", "shortstack", "LTcapwidth", "textwidth"}


def check_latex(source: str) -> None:
    """Read a table strictly: known commands only, balanced groups and environments, equal columns
    in all rows."""
    source = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    assert set(re.findall(r"\\([a-zA-Z]+)", source.replace(r"\\", " "))) <= KNOWN
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", source):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    assert source.count(r"\begingroup") == source.count(r"\endgroup")
    plain = re.sub(r"\\[\\&%$#_{}]", lambda found: "\n" if found[0] == "\\\\" else "", source)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[%#~^]", plain)
    assert source.isascii()
    columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}", source)
    assert columns
    rows = [
        line
        for line in source.splitlines()
        if line.endswith(r"\\") and not line.startswith(r"\caption")
    ]
    assert rows
    assert not any(
        row.startswith("[") for row in rows
    )  # which the \\\\ before it would take for its argument
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}


def compile_latex(folder: Path, *sources: str) -> None:
    """Read tables strictly and, where there is an engine, compile them in one document."""
    for source in sources:
        check_latex(source)
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine:
        head = r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"
        (folder / "t.tex").write_text("\n".join([head, *sources, r"\end{document}"]))
        command = (
            [engine, "-halt-on-error", "t.tex"]
            if engine.endswith("pdflatex")
            else [engine, "t.tex"]
        )
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:]


def test_latex_of_hostile_names(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "s")
    writer.add([make_row("magnitude", 0.5, 1, dataset=HOSTILE)], outcome="done")
    writer.add([make_row("odd_method", 0.5, 1, knobs='{"n:m": "2&4_%"}')])
    writer.add([make_row("odd_method", 0.9, 1)])
    study = load_study(writer.finish().rename(tmp_path / "t"))
    compile_latex(tmp_path, *(table.to_latex() for table in make_tables(study)))


def test_a_table_longer_than_a_page_is_a_longtable(tmp_path: Path) -> None:
    raw = pd.DataFrame()
    lines = tuple((f"[{index}]", "1.00 ± 0.10", "−2.00") for index in range(PAGE + 1))
    short, long = (
        Table(
            "t",
            "T",
            "Caption",
            ("A", "B", "C"),
            lines[:count],
            1,
            frozenset({3}),
            raw,
            frozenset({(0, 1), (2, 0)}),
        )
        for count in (PAGE, PAGE + 1)
    )
    assert r"\begin{table}" in short.to_latex() and "longtable" not in short.to_latex()
    assert r"\begin{longtable}{lrr}" in long.to_latex() and r"\endhead" in long.to_latex()
    assert r"\textbf{1.00 $\pm$ 0.10} & $-$2.00" in long.to_latex()
    compile_latex(tmp_path, short.to_latex(), long.to_latex())


def test_bold_in_every_form() -> None:
    cells = (("a", "1"), ("b", "2"))
    table = Table(
        "t", "T", "C", ("M", "V"), cells, 1, frozenset(), pd.DataFrame(), frozenset({(1, 1)})
    )
    assert table.to_text().splitlines()[-1] == "b  2*"
    assert "| b   | **2** |" in table.to_markdown()
    assert r"b & \textbf{2} \\" in table.to_latex()


def test_comparisons_are_tables_with_their_number(tmp_path: Path) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", seeds=(1, 2, 3, 4), sparsities=(0.9, 0.98)))
    )
    dense, best = make_dense_table(results), make_best_table(results)
    assert dense.head == ("Method", "Sparsity (%)", "Difference", "n", "p", "p (Holm)", "Separable")
    assert (
        "corrected for the 16 comparisons" in dense.caption
    )  # 3 methods x 2, and 10 levels of tickets
    assert best.head[1] == "Best"
    assert "corrected for the 4 comparisons" in best.caption
    assert {line[1] for line in best.cells} == {"SynFlow"}
    random = {line[2]: line[-1] for line in best.cells if line[0] == "Random"}
    assert random["98"] == "yes"
    assert list(best.raw.columns).count("n") == 1


def test_few_seeds_are_told_of(tmp_path: Path) -> None:
    results = collect_results(
        load_study(
            write_study(
                tmp_path / "s", methods=("magnitude", "random"), seeds=(1, 2), sparsities=(0.9,)
            )
        )
    )
    # Two comparisons with dense at n = 2: t(1 - 0.05 / 4, 1) = 25.45
    assert "With n = 2 and this many comparisons" in make_dense_table(results).caption
    assert "at least 25 standard errors" in make_dense_table(results).caption


def test_what_is_missing_and_why(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s", gaps=True))
    (tmp_path / "s/checkpoints/cifar10-resnet18").mkdir(parents=True)
    table = make_gaps_table(study, find_missing_trials(study))
    found = {(line[0], line[2], line[3]): line[4] for line in table.cells}
    assert found == {
        (
            "SynFlow",
            "99",
            "44",
        ): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "90", "44"): "not begun",
        ("Random", "50", "44"): "its rows cannot be read",
        ("Dense", "0", "99"): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "50", "99"): "not run: the training it starts from failed",
    }
    full = load_study(write_study(tmp_path / "full", seeds=(1,), methods=("magnitude",)))
    assert make_gaps_table(full, find_missing_trials(full)).cells == ()


def test_bootstrap_states_its_coverage(tmp_path: Path) -> None:
    table = make_bootstrap_table(
        collect_results(
            load_study(write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.9,)))
        )
    )
    values = collect_results(load_study(tmp_path / "s")).values
    last = values[values["series_index"] == 1]["value"]
    assert table.cells[-1][2:] == (
        "92.88 ± 0.62",
        f"{last.min():.2f} to {last.max():.2f}",
        "75",
        "3",
    )
    one = make_bootstrap_table(
        collect_results(load_study(write_study(tmp_path / "o", methods=("magnitude",), seeds=(1,))))
    )
    assert one.cells[0][3:] == ("–", "–", "1")


def test_costs_are_of_the_device(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    spec = {"name": "s", "resources": {"gpus_per_trial": 0.25}}
    writer.store.write("study.yaml", yaml.safe_dump(spec).encode())
    for seed in (1, 2):
        dense = writer.add([make_row("dense", 0.0, seed, trial_seconds=400.0)])
        for sparsity in (0.5, 0.9):
            writer.add(
                [make_row("magnitude", sparsity, seed, trial_seconds=100.0 * seed)], parents=[dense]
            )
        rows = [
            make_row("lottery_ticket", s, seed, level=n, trial_seconds=800.0)
            for n, s in enumerate((0.5, 0.9))
        ]
        writer.add(rows)
    table = make_costs_table(collect_results(load_study(writer.finish())))
    assert table.head[-1] == "Total (GPU hours)"
    assert table.cells == (
        ("Dense", "2", "100.00", "0.00", "0.0556"),
        ("Magnitude", "4", "37.50", "100.00", "0.0417"),
        ("Lottery ticket", "2", "200.00", "0.00", "0.1111"),
    )


def test_numbers_as_words() -> None:
    assert [format_number(value, 1e-6, 2) for value in (2_223, 77_754, 11_173_962, 0, None)] == [
        "0.00222",
        "0.0778",
        "11.17",
        "0.00",
        "–",
    ]
    assert [format_p(p) for p in (1e-5, 2e-4, 0.0123, 0.5, float("nan"))] == [
        "< 0.0001",
        "0.0002",
        "0.012",
        "0.50",
        "–",
    ]
    assert format_interval(-0.001, 0.5, 2, sign=True) == "+0.00 ± 0.50"
    assert format_interval(-1.5, float("nan"), 2) == "−1.50"
    assert [format_duration(seconds) for seconds in (0.5, 99, 600, 7200, 4e7)] == [
        "0.5 s",
        "99 s",
        "10 min",
        "2 h",
        "11,111 h",
    ]
