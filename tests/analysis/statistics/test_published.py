"""Published numbers beside ours, on a study whose cells are known.

Covers: analysis/tables/published_table.py.
"""

import csv
import io
from pathlib import Path

import pytest
import yaml

from analysis.reading.load import Study, load_study
from analysis.report.study_report import write_report
from analysis.statistics.results import collect_results
from analysis.tables.published_table import make_published_table
from analysis.tables.table import Table
from tests.analysis.interval_text import hide_intervals
from tests.analysis.synthetic import Writer, make_own_rows, make_row

FORMATS = ("csv", "md", "tex")
PRESETS = Path(__file__).resolve().parents[3] / "sweeps/presets"
HERE = {"dataset": "cifar10", "model": "resnet18"}


def make_study(folder: Path, *published: object) -> Study:
    """Magnitude at 0.5: 93 and 95, with knobs 80; Wanda in two stages; Han's rule at 0.8955 and
    0.9035 on average."""
    writer = Writer(folder)
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed, test_top1=91.0 + 2 * seed, test_top5=99.0)])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=80.0, knobs='{"scope": "layer"}')])
        writer.add(
            make_own_rows(
                "han_iterative", (0.894 + seed / 1000, 0.902 + seed / 1000), seed, test_top1=90.0
            )
        )
        stages = [
            make_row("wanda", 0.5, seed, stage=stage, test_top1=v)
            for stage, v in (("raw", 70.0), ("finetuned", 90))
        ]
        writer.add(stages)
    writer.add([make_row("magnitude", 0.9, 1)], outcome="missing")
    asked = {"name": "s", "published": list(published)}
    writer.store.write("study.yaml", yaml.safe_dump(asked).encode())
    return load_study(writer.finish())


def name(method: str, sparsity: float, value: float, **more: object) -> dict[str, object]:
    return {
        **HERE,
        "method": method,
        "sparsity": sparsity,
        "value": value,
        "source": "A 2020",
    } | more


def make_table(study: Study) -> Table:
    return make_published_table(collect_results(study))


LINES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    (
        name("magnitude", 0.5, 93.6),
        ("Magnitude", "A 2020", "50", "93.6", "94.00 […]", "2", "+0.40"),
    ),
    (
        name("magnitude", 0.5, 81, knobs={"scope": "layer"}, note="Table 3"),
        (
            "Magnitude (scope=layer)",
            "A 2020 (Table 3)",
            "50",
            "81",
            "80.00 […]",
            "2",
            "−1.00",
        ),
    ),
    (
        name("magnitude", 0.5, 93.6, spread=0.2, spread_is="standard error", n=5),
        (
            "Magnitude",
            "A 2020",
            "50",
            "93.6 ± 0.2 (standard error, n 5)",
            "94.00 […]",
            "2",
            "+0.40",
        ),
    ),
    (
        name("magnitude", 0.5, 93.6, n=3),
        ("Magnitude", "A 2020", "50", "93.6 (n 3)", "94.00 […]", "2", "+0.40"),
    ),
    (
        name("magnitude", 0.504, 93.6),
        ("Magnitude", "A 2020", "50.4", "93.6", "not run", "0", "–"),
    ),
    (name("magnitude", 0.9, 93.6), ("Magnitude", "A 2020", "90", "93.6", "not run", "0", "–")),
    (
        name("magnitude", 0.5, 9, knobs={"a": 1}),
        ("Magnitude (a=1)", "A 2020", "50", "9", "not run", "0", "–"),
    ),
    (
        name("hrank", 0.5, 93.6),
        ("HRank", "A 2020", "50", "93.6", "not run", "0", "–"),
    ),
    (
        name("wanda", 0.5, 91),
        ("Wanda (finetuned)", "A 2020", "50", "91", "90.00 […]", "2", "−1.00"),
    ),
    (
        name("han_iterative", 0.9, 91),
        ("Han iterative", "A 2020", "90 (ours 90.35)", "91", "90.00 […]", "2", "−1.00"),
    ),
    (
        name("han_iterative", 0.91, 91),
        ("Han iterative", "A 2020", "91", "91", "not run", "0", "–"),
    ),
]


def test_lines(tmp_path: Path) -> None:
    table = make_table(make_study(tmp_path, *(entry for entry, _ in LINES)))
    assert hide_intervals(table.cells) == [("cifar10, resnet18", *line) for _, line in LINES]
    assert table.head == (
        "Network",
        "Method",
        "Source",
        "Sparsity (%)",
        "Published",
        "Ours",
        "n",
        "Difference",
    )
    assert table.caption.startswith("Test top-1 accuracy (%). Published")


def test_another_network_and_another_metric(tmp_path: Path) -> None:
    study = make_study(
        tmp_path,
        name("magnitude", 0.5, 98, metric="test_top5"),
        name("magnitude", 0.5, 98) | {"model": "vgg16"},
        name("magnitude", 0.5, 1, metric="latency_ms_b1"),
    )
    table = make_table(study)
    assert [(row[0], row[3], row[6]) for row in hide_intervals(table.cells)] == [
        ("cifar10, resnet18", "test top-5 accuracy (%)", "99.00 […]"),
        ("cifar10, vgg16", "test top-1 accuracy (%)", "not run"),
        ("cifar10, resnet18", "latency at batch 1 (ms)", "not run"),
    ]
    raw = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [line["difference"] for line in raw] == ["1.0", "", ""]


def test_the_raw_table_holds_both_numbers_of_runs(tmp_path: Path) -> None:
    entry = name("magnitude", 0.5, 93.6, spread=0.2, spread_is="half range", n=7)
    (row,) = csv.DictReader(io.StringIO(make_table(make_study(tmp_path, entry)).to_csv()))
    assert (row["spread"], row["spread_is"]) == ("0.2", "half range")
    assert (float(row["published_n"]), float(row["n"])) == (7, 2)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    study = make_study(
        tmp_path, "text", {"method": "hrank"}, name("magnitude", 0.5, 1, metric="speed")
    )
    assert make_table(study).cells == ()
    make_table(study)
    assert len(study.warnings) == 3
    assert (
        "entry 2 of 'published': it lacks dataset, model, sparsity, value, source"
        in study.warnings[1]
    )
    assert "no metric 'speed'" in study.warnings[2]


def test_the_report_has_it_where_it_is_asked_for(tmp_path: Path) -> None:
    """That it is nowhere else is seen in `test_study_report.py`, which names all files."""
    with_it = make_study(tmp_path / "a", name("magnitude", 0.5, 93.6))
    assert {path for path in write_report(with_it, formats=FORMATS)[1] if "published" in path} == {
        "figures/published.csv",
        "tables/published.csv",
        "tables/published.md",
        "tables/published.tex",
    }
    page = (tmp_path / "a/report/report.md").read_text()
    assert "## Published and ours" in page
    assert "+0.40" in page


def test_one_own_level_without_a_plan(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add(make_own_rows("han_iterative", (0.9,), 1, test_top1=90.0))
    writer.store.write(
        "study.yaml", yaml.safe_dump({"published": [name("han_iterative", 0.9, 91)]}).encode()
    )
    (line,) = make_table(load_study(tmp_path)).cells
    assert line[4:] == ("91", "90.00", "1", "−1.00")


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_compare_best_epochs_with_best_epochs(preset: Path) -> None:
    """Numbers of the best test epoch are higher than those of the last: the difference to ours
    would be biased."""
    spec = yaml.safe_load(preset.read_text())
    for entry in spec.get("published", []):
        best = entry.get("note") == "best test epoch"
        assert (entry.get("metric") == "best_epoch_test_top1") == best
        assert spec["recipe"].get("record_best_test") or not best
