"""Which figures and tables a report has, in the order of the page. A new one is added here."""

from collections.abc import Callable, Sequence
from functools import partial

from analysis.figures.accuracy_by_compression import draw_compression
from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.accuracy_by_training_cost import draw_training_budget
from analysis.figures.canvas import Picture
from analysis.figures.control_curves import draw_controls
from analysis.figures.critical_difference import draw_ranking
from analysis.figures.layer_densities import draw_layers
from analysis.figures.learning_curves import draw_curves
from analysis.figures.paired_drop import draw_drop
from analysis.figures.pareto_front import draw_pareto
from analysis.figures.published_comparison import draw_published
from analysis.figures.reached_sparsity import draw_reached
from analysis.figures.score_iterations import draw_iterations
from analysis.figures.training_cost import draw_cost
from analysis.report.page_files import choose_picture_formats
from analysis.series import Setting
from analysis.statistics.results import Results
from analysis.tables.accuracy_table import make_accuracy_table
from analysis.tables.bootstrap_table import make_bootstrap_table
from analysis.tables.comparisons_table import (
    make_best_table,
    make_controls_table,
    make_dense_table,
    make_longer_dense_table,
)
from analysis.tables.device_time_table import make_device_time_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.leaderboard_table import make_leaderboard_table
from analysis.tables.levels_table import make_interpolated_table, make_levels_table
from analysis.tables.pareto_table import make_pareto_table
from analysis.tables.published_table import make_published_table
from analysis.tables.sparsity_curves_table import make_sparsity_curves_table
from analysis.tables.table import Table

FIGURES: tuple[Callable[[Results, Setting, tuple[str, ...]], list[Picture]], ...] = (
    draw_accuracy,
    draw_training_budget,
    draw_controls,
    draw_drop,
    draw_compression,
    draw_pareto,
    draw_iterations,
    draw_layers,
    draw_reached,
    draw_curves,
    draw_cost,
)
TABLES: tuple[Callable[[Results], Table], ...] = (
    make_leaderboard_table,
    make_accuracy_table,
    make_interpolated_table,
    make_levels_table,
    make_efficiency_table,
    make_best_table,
    make_controls_table,
    make_dense_table,
    make_longer_dense_table,
    make_sparsity_curves_table,
    make_pareto_table,
    make_published_table,
    make_device_time_table,
)


def list_drawings(results: Results, formats: Sequence[str]) -> list[Callable[[], list[Picture]]]:
    """The calls that draw the figures: of each setting, then those over all settings; none where no
    format needs figures."""
    kinds = choose_picture_formats(formats)
    if kinds is None:
        return []
    # Read before anything is forked: a connection to a bucket does not survive that, and warnings
    # would not come back.
    _ = results.study.layers, results.study.curves
    measured = [
        setting for setting in results.settings if (results.cells_of(setting)["n"] > 0).any()
    ]
    drawings = [partial(draw, results, setting, kinds) for draw in FIGURES for setting in measured]
    return [
        *drawings,
        partial(draw_ranking, results, kinds),
        partial(draw_published, results, kinds),
    ]


def make_tables(results: Results, *, bootstrap: bool = False) -> list[Table]:
    """The tables in the order of the page; empty ones are left out."""
    tables = [make(results) for make in TABLES]
    tables += [make_bootstrap_table(results)] if bootstrap else []
    return [table for table in tables if table.cells]
