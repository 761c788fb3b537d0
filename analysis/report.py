"""The report of a study: figures, tables, all rows as JSON, and one page that shows them and names what is missing."""

import json
import math

import pandas as pd

from analysis.gaps import Gaps, find_gaps
from analysis.load import Study
from analysis.metrics import find_metric
from analysis.plots import draw_accuracy
from analysis.series import find_series, find_settings, format_knobs
from analysis.tables import Table, collect, make_accuracy_table, make_efficiency_table
from trainables.store import Store

SHOWN = 50  # keys of one kind that the page names; the rest is counted


def write_report(study: Study, metric: str = "test_top1", *, out: Store | None = None) -> list[str]:
    """Write everything below `STUDY/report/` (or `out`) and return the written paths, relative to it.

    The files are `report.md`, `all_results.json`, `tables/{efficiency,accuracy}.{md,tex,csv}` and, per data set, model
    and recipe, `figures/sparsity-accuracy-<setting>.{png,pdf}`; without rows, only the first two. Equal studies give
    equal files.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    chosen = find_metric(metric, study.rows)
    files: dict[str, bytes] = {"all_results.json": make_results(study.rows)}
    figures: dict[str, str] = {}
    tables: list[Table] = []
    notes: list[str] = []
    if len(study.rows):
        cells = collect(study.rows, chosen, plan=study.plan)
        for setting in find_settings(cells[cells["n"] > 0]):
            name = f"figures/{_name_figure(metric)}-{setting.slug}"
            drawn = draw_accuracy(study.rows, cells, chosen, setting=setting, study=study.name)
            files |= {f"{name}.{kind}": content for kind, content in drawn.items()}
            figures[f"{chosen.heading} against sparsity, {setting.label}"] = f"{name}.png"
        tables = [make_accuracy_table(cells, chosen), make_efficiency_table(cells, chosen)]
        for table in tables:
            files[f"tables/{table.name}.md"] = table.to_markdown().encode()
            files[f"tables/{table.name}.tex"] = table.to_latex().encode()
            files[f"tables/{table.name}.csv"] = table.to_csv().encode()
        notes = [
            f"{one.label}: {', '.join(format_knobs(one.knobs))}" for one in find_series(cells) if one.knobs != "{}"
        ]
    page = _make_page(study, find_gaps(study), figures=figures, tables=tables, notes=notes)
    target = out or Store.at(f"{study.store.uri}/report")
    for path, content in {**files, "report.md": page.encode()}.items():
        target.write(path, content)
    return sorted([*files, "report.md"])


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
