"""A study whose tables can be checked by hand, and its two main tables."""

from pathlib import Path

from analysis.reading.load import Study, load_study
from analysis.statistics.results import collect_results
from analysis.tables.accuracy_table import make_accuracy_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.table import Table
from tests.analysis.synthetic import Writer, make_row


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
