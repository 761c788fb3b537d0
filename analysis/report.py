"""The report of a study: figures, tables, all rows as JSON, and one page that shows them and names what is missing."""

import json
import math

import pandas as pd

from analysis.accuracy import make_accuracy_table, make_levels_table
from analysis.gaps import Gaps, find_gaps
from analysis.load import Study
from analysis.metrics import Metric, find_metric
from analysis.plots import draw_accuracy, find_setting_views
from analysis.published import make_published_table
from analysis.series import find_series, find_settings, format_knobs
from analysis.tables import Table, collect, make_efficiency_table
from trainables.store import Store

SHOWN = 50  # keys of one kind that the page names; the rest is counted


def write_report(study: Study, metric: str = "test_top1", *, out: Store | None = None) -> list[str]:
    """Write everything below `STUDY/report/` (or `out`) and return the written paths, relative to it.

    The files are, in this order, per data set, model and recipe, `figures/sparsity-accuracy-<setting>.{png,pdf}`, where
    it has many series followed by `figures/sparsity-accuracy-<setting>-<family>.{png,pdf}` (families: `looks.FAMILIES`,
    see `views.find_views`); `tables/<name>.{md,tex,csv}` with the names accuracy, efficiency, levels (where an iterated
    method has levels of its own) and published (where the study file names such numbers); `all_results.json` and
    `report.md`; without rows, only the last two. Equal studies give equal files.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    chosen = find_metric(metric, study.rows)
    files: dict[str, bytes] = {}
    figures: dict[str, str] = {}
    tables: list[Table] = []
    notes: list[str] = []
    if len(study.rows):
        cells = collect(study.rows, chosen, plan=study.plan)
        for setting in find_settings(cells[cells["n"] > 0]):
            for view in find_setting_views(cells, setting):
                name = "-".join(filter(None, (f"figures/{_name_figure(metric)}", setting.slug, view.slug)))
                drawn = draw_accuracy(study.rows, cells, chosen, setting=setting, view=view, study=study.name)
                files |= {f"{name}.{kind}": content for kind, content in drawn.items()}
                title = ", ".join(filter(None, (setting.label, view.title)))
                figures[f"{chosen.heading} against sparsity, {title}"] = f"{name}.png"
        tables = make_tables(study, cells, chosen)
        for table in tables:
            files[f"tables/{table.name}.md"] = table.to_markdown().encode()
            files[f"tables/{table.name}.tex"] = table.to_latex().encode()
            files[f"tables/{table.name}.csv"] = table.to_csv().encode()
        notes = [
            f"{one.label}: {', '.join(format_knobs(one.knobs))}" for one in find_series(cells) if one.knobs != "{}"
        ]
    files["all_results.json"] = make_results(study.rows)
    files["report.md"] = _make_page(study, find_gaps(study), figures=figures, tables=tables, notes=notes).encode()
    target = out or Store.at(f"{study.store.uri}/report")
    for path, content in files.items():
        target.write(path, content)
    return list(files)


def make_tables(study: Study, cells: pd.DataFrame, metric: Metric) -> list[Table]:
    """The tables of a study in the order of the page; those without a line are left out."""
    made = [make_accuracy_table(cells, metric), make_levels_table(cells, metric)]
    made += [make_published_table(study), make_efficiency_table(cells, metric)]
    return [table for table in made if table.cells]


def make_results(rows: pd.DataFrame) -> bytes:
    """All rows as a JSON array of flat objects, one a line.

    Each starts with method, sparsity, seed, test_accuracy (percent), params_millions, model_size_mb (10^6 bytes) and
    inference_latency_ms (batch 1), followed by every column of the row; what was not measured is null.
    """
    lines = []
    for row in rows.sort_values(["key", "level", "stage"]).astype(object).to_dict("records"):
        plain = {str(name): None if _is_nothing(value) else value for name, value in row.items()}
        front = {
            "method": plain["method"],
            "sparsity": plain["sparsity"],
            "seed": plain["seed"],
            "test_accuracy": plain["test_top1"],
            "params_millions": None if plain["params"] is None else plain["params"] / 1e6,
            "model_size_mb": None if plain["bytes"] is None else plain["bytes"] / 1e6,
            "inference_latency_ms": plain["latency_ms_b1"],
        }
        lines.append(json.dumps(front | plain, allow_nan=False))
    return ("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n").encode()


def summarise_progress(gaps: Gaps) -> str:
    """Where the study stands, in one line."""
    text = f"{gaps.done} of {gaps.total} trials done" if gaps.planned else f"{gaps.done} trials done"
    counts = {"failed": len(gaps.failed), "not run": len(gaps.blocked), "missing or running": len(gaps.missing)}
    return ", ".join([text, *(f"{count} {what}" for what, count in counts.items() if count)])


def _make_page(study: Study, gaps: Gaps, *, figures: dict[str, str], tables: list[Table], notes: list[str]) -> str:
    """`report.md`."""
    lines = [f"# {study.name}", "", f"{summarise_progress(gaps)}."]
    commits = sorted(set(study.rows["commit"].dropna()))
    if commits:
        lines.append(f"Measured with commit {', '.join(commits)}.")
    lines.append("All rows are in [all_results.json](all_results.json).")
    for caption, path in figures.items():
        lines += ["", f"## {caption[:1].upper() + caption[1:]}", "", f"![{caption}]({path})"]
        lines += ["", f"[PDF]({path.removesuffix('.png')}.pdf)"]
    for table in tables:
        links = " ".join(f"[{kind}](tables/{table.name}.{kind})" for kind in ("md", "tex", "csv"))
        lines += ["", f"## {table.name.capitalize()}", "", table.to_markdown(), links]
    sections = {
        "Knobs that are not the default": notes,
        "Failed trials": [f"`{one.key}`: {one.error} (attempt {one.attempts})" for one in gaps.failed],
        "Trials not run": [f"`{key}`: not run, because `{cause}` failed" for key, cause in gaps.blocked.items()],
        "Trials without rows so far (waiting, running or unreadable)": [f"`{key}`" for key in gaps.missing],
        "Warnings": study.warnings,
    }
    for title, items in sections.items():
        if items:
            lines += ["", f"## {title}", "", *(f"* {item}" for item in items[:SHOWN])]
            lines += [f"* and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return "\n".join(lines) + "\n"


def _name_figure(metric: str) -> str:
    return "sparsity-accuracy" if metric == "test_top1" else f"sparsity-{metric.replace('_', '-')}"


def _is_nothing(value: object) -> bool:
    """Null, or a number that JSON cannot carry."""
    return value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
