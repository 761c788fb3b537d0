"""The report of a study: every figure and table as files, all rows as JSON, and one page that shows
them all."""

from collections.abc import Callable, Sequence
from functools import partial

import yaml

from analysis.captions import capitalise
from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.canvas import KINDS as PICTURES
from analysis.figures.canvas import Picture
from analysis.figures.critical_difference import draw_ranking
from analysis.figures.layer_densities import draw_layers
from analysis.figures.learning_curves import draw_curves
from analysis.figures.paired_drop import draw_drop
from analysis.figures.pareto_front import draw_pareto
from analysis.figures.published_comparison import draw_published
from analysis.figures.reached_sparsity import draw_reached
from analysis.figures.score_iterations import draw_iterations
from analysis.figures.training_cost import draw_cost
from analysis.metrics import find_metric
from analysis.reading.load import Study
from analysis.reading.missing_trials import Gaps, find_gaps
from analysis.reading.search_data import find_search
from analysis.report.checklist import tick
from analysis.report.fork_pool import spread
from analysis.report.page import Card, Page, Section
from analysis.report.rows_as_json import MOST, write_records
from analysis.report.summary import write_summary
from analysis.series import Setting, format_knobs
from analysis.statistics.results import Results, collect
from analysis.tables.accuracy_table import (
    make_accuracy_table,
    make_interpolated_table,
    make_levels_table,
)
from analysis.tables.bootstrap_table import make_bootstrap_table
from analysis.tables.comparisons_table import make_best_table, make_dense_table
from analysis.tables.completeness_table import make_gaps_table
from analysis.tables.device_time_table import make_costs_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.pareto_table import make_fronts_table
from analysis.tables.published_table import make_published_table
from analysis.tables.sparsity_curves_table import make_courses_table
from analysis.tables.table import Table
from trainables.storage.store import Store

FORMATS = (*PICTURES, "csv", "md", "tex", "html", "json")
SHOWN = 50  # keys of one kind that the page names; the rest is counted

FIGURES: tuple[Callable[[Results, Setting, tuple[str, ...]], list[Picture]], ...] = (
    draw_accuracy,
    draw_drop,
    draw_pareto,
    draw_iterations,
    draw_layers,
    draw_reached,
    draw_curves,
    draw_cost,
)
TABLES: tuple[Callable[[Results], Table], ...] = (
    make_accuracy_table,
    make_interpolated_table,
    make_levels_table,
    make_efficiency_table,
    make_dense_table,
    make_best_table,
    make_courses_table,
    make_fronts_table,
    make_published_table,
    make_costs_table,
)


def make_page(
    study: Study,
    metric: str = "test_top1",
    *,
    formats: Sequence[str] = FORMATS,
    bootstrap: bool = False,
    refresh: int = 0,
    workers: int = 1,
) -> Page:
    """Everything there is to say of a study, in every state of it; figures are drawn in the formats
    that are asked for.

    With several `workers`, figures are drawn in as many forked processes (`workers.spread`), byte
    for byte the same.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    gaps = find_gaps(study)
    if search := find_search(study):
        from analysis.report.search_page import (
            make_search_page,
        )  # late: importing scikit-learn takes a second

        shared = [
            *_list_gaps(study, gaps),
            *_describe_environment(study),
            *_tell_rows(study, formats),
        ]
        return make_search_page(study, search, gaps, shared, formats=formats, refresh=refresh)
    find_metric(metric, study.rows)
    pictures: list[Picture] = []
    tables: list[Table] = []
    summary = [f"{gaps.summarise()}."]
    sections: list[Section] = []
    if len(study.rows):
        results = collect(study, metric)
        with spread(list_drawings(results, formats), workers) as drawn:
            tables = make_tables(results, bootstrap=bootstrap)
            summary = write_summary(results, gaps)
            points = tuple(tick(results, gaps))
            pictures = [picture for part in drawn() for picture in part]
        asked = "What Blalock et al. 2020 (arXiv 2003.03033) ask of a pruning paper, ticked from the data."
        checklist = Section("Checklist", "checklist", points, asked)
        sections = [
            checklist,
            *_list_knobs(results),
            *_list_cards(results),
            *_describe_environment(study),
        ]
    missing = make_gaps_table(study, gaps)
    tables += [missing] if missing.cells else []
    sections += [*_list_gaps(study, gaps), *_show_study_file(study), *_tell_rows(study, formats)]
    lead = str(study.spec.get("description") or "").strip() or "A pruning study."
    return Page(
        study.name, lead, tuple(summary), tuple(pictures), tuple(tables), tuple(sections), refresh
    )


def write_report(
    study: Study,
    metric: str = "test_top1",
    *,
    out: Store | None = None,
    formats: Sequence[str] = FORMATS,
    bootstrap: bool = False,
    refresh: int = 0,
    workers: int = 1,
) -> tuple[Page, list[str]]:
    """Make the page and write it below `STUDY/report/` (or `out`); returns it and the written
    paths, relative to that.

    The files are `figures/<name>.{png,pdf,svg,csv}`, `tables/<name>.{md,tex,csv}`,
    `all_results.json`, `report.md` and `report.html`, as far as `formats` names them. Equal studies
    give equal files.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    page = make_page(
        study, metric, formats=formats, bootstrap=bootstrap, refresh=refresh, workers=workers
    )
    files = list_files(page, formats)
    if "json" in formats and (len(study.rows) <= MOST or set(formats) != set(FORMATS)):
        files["all_results.json"] = write_records(study.rows)
    target = out or study.store.below("report")
    for path, content in files.items():
        target.write(path, content)
    return page, list(files)


def list_files(page: Page, formats: Sequence[str]) -> dict[str, bytes]:
    """The files of a page by path, in the formats that are asked for."""
    files: dict[str, bytes] = {}
    for picture in page.pictures:
        files |= {
            f"figures/{picture.name}.{kind}": one
            for kind, one in picture.files.items()
            if kind in formats
        }
        if "csv" in formats:
            files[f"figures/{picture.name}.csv"] = picture.data.to_csv(
                index=False, lineterminator="\n"
            ).encode()
    for table in page.tables:
        texts = {"md": table.to_markdown, "tex": table.to_latex, "csv": table.to_csv}
        files |= {
            f"tables/{table.name}.{kind}": make().encode()
            for kind, make in texts.items()
            if kind in formats
        }
    files |= {"report.md": page.to_markdown(formats).encode()} if "md" in formats else {}
    files |= {"report.html": page.to_html().encode()} if "html" in formats else {}
    return files


def list_drawings(results: Results, formats: Sequence[str]) -> list[Callable[[], list[Picture]]]:
    """What draws the figures, setting by setting, then those over all settings; nothing where no
    format needs any."""
    if set(formats) <= {"tex", "json"}:
        return []
    kinds = tuple(kind for kind in PICTURES if kind in formats)
    if "html" in formats and not {"svg", "png"} & set(kinds):
        kinds = (*kinds, "svg")
    # Read before anything is forked: a connection to a bucket does not survive that, nor would the
    # warnings come back.
    _ = results.study.layers, results.study.curves
    measured = [setting for setting in results.settings if (results.of(setting)["n"] > 0).any()]
    drawings = [partial(draw, results, setting, kinds) for draw in FIGURES for setting in measured]
    return [
        *drawings,
        partial(draw_ranking, results, kinds),
        partial(draw_published, results, kinds),
    ]


def make_tables(results: Results, *, bootstrap: bool = False) -> list[Table]:
    """The tables in the order of the page; those without a line are left out."""
    made = [make(results) for make in TABLES]
    made += [make_bootstrap_table(results)] if bootstrap else []
    return [table for table in made if table.cells]


def _list_knobs(results: Results) -> list[Section]:
    """The knobs that are not the default, by the names of the series."""
    notes = [
        f"{one.label}: {', '.join(format_knobs(one.knobs))}"
        for one in results.series
        if one.knobs != "{}"
    ]
    return [Section("Knobs that are not the default", "list", tuple(notes))] if notes else []


def _list_cards(results: Results) -> list[Section]:
    """The cards of the methods, in the order of legends."""
    found = []
    for name in dict.fromkeys(one.method for one in results.series):
        card = results.study.cards.get(name)
        if not card:
            continue
        knobs = card.get("knobs")
        told = {"paper": "Paper", "kind": "Kind", "cost": "Cost", "when": "Use it when"}
        facts = [
            (title, str(card[key]))
            for key, title in told.items()
            if card.get(key) and card[key] != "-"
        ]
        if isinstance(knobs, dict) and knobs:
            facts.append(
                (
                    "Knobs and their defaults",
                    ", ".join(f"{knob}={value}" for knob, value in knobs.items()),
                )
            )
        found.append(
            Card(
                str(card.get("title") or name),
                f"{capitalise(str(card.get('summary') or ''))}.",
                tuple(facts),
            )
        )
    return [Section("Methods", "cards", tuple(found))] if found else []


def _describe_environment(study: Study) -> list[Section]:
    """What the numbers were measured with."""
    rows = study.rows
    facts: list[tuple[str, str]] = []
    titles = {
        "commit": "Commit",
        "versions": "Versions",
        "device": "Device",
        "threads": "Threads of a trial",
        "precision": "Precision",
        "data_digest": "Digest of the data",
    }
    for column, title in titles.items():
        values = [str(value) for value in rows[column].dropna().unique()]
        if values:
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            facts.append((title, "; ".join(values[:5]) + more))
    started, finished = rows["started"].dropna(), rows["finished"].dropna()
    if len(started) and len(finished):
        facts.append(("First trial began, last one ended", f"{min(started)}, {max(finished)}"))
    again = rows.drop_duplicates("key")["attempts"].dropna()
    if len(again):
        facts.append(("Trials that needed more than one attempt", str(int((again > 1).sum()))))
    return [Section("Environment", "facts", tuple(facts))] if facts else []


def _list_gaps(study: Study, gaps: Gaps) -> list[Section]:
    """What failed, what was not run, what is still to come, and what could not be read."""
    waiting = [f"{key}: {gaps.explain(key)}" for key in gaps.missing]
    lists = {
        "Failed trials": [
            f"{one.key}: {one.error} (attempt {one.attempts})" for one in gaps.failed
        ],
        "Trials not run": [
            f"{key}: not run, because {cause} failed" for key, cause in gaps.blocked.items()
        ],
        "Trials without rows so far": waiting,
        "Warnings": study.warnings,
    }
    found = []
    for title, items in lists.items():
        if items:
            more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
            found.append(Section(title, "list", (*items[:SHOWN], *more)))
    return found


def _tell_rows(study: Study, formats: Sequence[str]) -> list[Section]:
    """Where all rows are."""
    if "json" not in formats:
        return []
    if len(study.rows) <= MOST:
        return [
            Section(
                "Rows",
                "list",
                (f"All {len(study.rows)} rows are in all_results.json, one flat object a row.",),
            )
        ]
    text = f"All rows are in rows/ of the study. {len(study.rows):,} of them are too many for all_results.json unless "
    return [Section("Rows", "list", (f"{text}--format names json.",))]


def _show_study_file(study: Study) -> list[Section]:
    if not study.spec:
        return []
    text = yaml.safe_dump(study.spec, sort_keys=False, allow_unicode=True)
    return [Section("Study file", "code", (text,), "With this, the study can be run again.")]
