"""The page of a replication as Markdown: every claim of the paper, our number, and whether it lies
inside the tolerance that was named in advance."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.captions import NOTHING
from analysis.metrics import KNOWN_METRICS
from analysis.replications.claim import Claim, Verdict, judge
from analysis.replications.papers import PAPERS, Paper
from analysis.replications.published_claims import CLAIMS
from analysis.replications.recorded_rows import Facts, RecordedRows
from analysis.series import format_sparsity
from analysis.statistics.intervals_and_tests import t_interval

SHOWN = ("test_top1", "early_stop_test_top1", "early_stop_iteration")
LAST_PART = 0.9  # of a training: where the loss is smallest later, it may still have been falling
SECONDS = 3600


def write_page(recorded: RecordedRows, *, figures: Sequence[str] = (), notes: str = "") -> str:
    """The page as Markdown.

    Args:
        figures: file names beside the page.
        notes: what was found out about claims outside their tolerance, as Markdown.
    """
    facts, rows = recorded.facts, recorded.rows
    paper = PAPERS[facts.preset]
    verdicts = [judge(claim, rows) for claim in CLAIMS[facts.preset]]
    parts = [
        f"# {paper.title}",
        f"{paper.reference}. Preset `{facts.preset}`.",
        _summarise(verdicts, facts, rows),
        "## Claims",
        _write_claims(verdicts),
        "Ours is the mean over the seeds with its 95 % t-interval; the mean decides. Tolerances "
        "are in `analysis/replications/published_claims.py`, written before the runs and not "
        "changed after them.",
        *([notes] if notes else []),
        "## What was run",
        "\n".join(f"* {line}" for line in _describe_run(facts, rows)),
        "## Different from the paper",
        "\n".join(f"* {line}" for line in _list_differences(paper, facts)),
        *[f"![{Path(name).stem}]({name})" for name in figures],
        "## All results",
        _write_results(rows, facts),
        f"Made by `python -m analysis.replications` of the rows in "
        f"[{facts.preset}.parquet]({facts.preset}.parquet); not written by hand.",
    ]
    return "\n\n".join(parts) + "\n"


def _summarise(verdicts: Sequence[Verdict], facts: Facts, rows: pd.DataFrame) -> str:
    inside = sum(verdict.inside is True for verdict in verdicts)
    outside = sum(verdict.inside is False for verdict in verdicts)
    not_run = len(verdicts) - inside - outside
    text = (
        f"**Of {len(verdicts)} claims, {inside} lie inside the tolerance named in advance, "
        f"{outside} outside" + (f", {not_run} were not run" if not_run else "") + ".**"
    )
    done, planned = _finished(rows)["key"].nunique(), sum(facts.planned.values())
    begun = rows["key"].nunique() - done
    if done < planned:
        more = f", of {begun} more the levels that they have finished" if begun else ""
        text += f" Unfinished: {done} of {planned} trials are done{more}; n below says of which."
    if facts.changed:
        text += f" Shortened or changed against the preset: {_list_code(facts.changed)}."
    return text


def _write_claims(verdicts: Sequence[Verdict]) -> str:
    body = []
    for verdict in verdicts:
        claim = verdict.claim
        published = (
            f"{_bound(claim)}{_number(claim.published, claim)} {claim.quantity.unit}".strip()
        )
        body.append(
            (
                f"{claim.says[:1].upper()}{claim.says[1:]} ({claim.source})",
                published,
                _write_tolerance(claim),
                _write_ours(verdict),
                str(verdict.n),
                _write_verdict(verdict),
            )
        )
    head = ("claim", "published", "tolerated", "ours", "n", "verdict")
    return _write_table(head, body, text_columns=1)


def _bound(claim: Claim) -> str:
    return {"equals": "", "at least": "≥ ", "at most": "≤ "}[claim.kind]


def _write_tolerance(claim: Claim) -> str:
    low, high = (_number(bound, claim) for bound in (claim.low, claim.high))
    if math.isinf(claim.low):
        return f"≤ {high}"
    return f"≥ {low}" if math.isinf(claim.high) else f"{low} to {high}"


def _write_ours(verdict: Verdict) -> str:
    if not verdict.n:
        return NOTHING
    text, claim = _number(verdict.mean, verdict.claim), verdict.claim
    if verdict.interval is None:
        return text
    low, high = (_number(end, claim) for end in verdict.interval)
    return f"{text} [{low}, {high}]"


def _write_verdict(verdict: Verdict) -> str:
    if verdict.inside is None:
        return "not run"
    doubt = "the interval is not" if verdict.inside else "the interval reaches in"
    doubt = "" if verdict.surely else f", {'one seed' if verdict.interval is None else doubt}"
    if verdict.inside:
        return f"inside{doubt}"
    unit = verdict.claim.quantity.unit
    return f"**outside** by {_number(verdict.beyond, verdict.claim)} {unit}".rstrip() + doubt


def _number(value: float, claim: Claim) -> str:
    return f"{value:.{claim.decimals}f}".replace("-", "−")


def _describe_run(facts: Facts, rows: pd.DataFrame) -> list[str]:
    done = _finished(rows).groupby("method")["key"].nunique()
    trials = ", ".join(f"{name} {done.get(name, 0)} of {n}" for name, n in facts.planned.items())
    of_trial = rows.drop_duplicates("key")
    hours = (of_trial["trial_seconds"].astype(float) * of_trial["threads"].astype(float)).sum()
    dates = sorted({str(text)[:10] for text in rows["finished"].dropna()})
    period = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])) or "undated"
    return [
        f"`{facts.command}`",
        f"{period}, on {facts.hardware}; {hours / SECONDS:.1f} core hours of trials in all, "
        "beside other work",
        f"trials done: {trials}; seeds {_list_seeds(rows)}",
        f"commit {', '.join(sorted(rows['commit'].dropna().unique()))} (+: with changes), "
        f"{'; '.join(sorted(rows['versions'].dropna().unique()))}",
    ]


def _finished(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of trials that ran to their end, which alone know how long they took."""
    return rows[rows["trial_seconds"].notna()]


def _list_seeds(rows: pd.DataFrame) -> str:
    return ", ".join(str(seed) for seed in sorted(rows["seed"].unique()))


def _list_differences(paper: Paper, facts: Facts) -> list[str]:
    lines = [f"this run sets {_list_code(facts.changed)}"] if facts.changed else []
    if facts.iterations:
        lines.append(
            f"a training has {facts.iterations:,} iterations here, and none can stop early later "
            "than that: *late* below counts the seeds whose validation loss was smallest in the "
            f"last {100 * (1 - LAST_PART):.0f} % of them, and may still have been falling"
        )
    return [*lines, *paper.differences]


def _list_code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _write_results(rows: pd.DataFrame, facts: Facts) -> str:
    """Means and intervals of every cell, the dense network first."""
    columns = [name for name in SHOWN if rows[name].notna().any()]
    rows = rows.assign(text=rows["knobs"].map(lambda knobs: json.dumps(knobs, sort_keys=True)))
    keys = ["model", "method", "text", "stage", "sparsity"]
    entries = rows[["method", "text"]].drop_duplicates()["method"].value_counts()
    body: list[tuple[str, ...]] = []
    for _, cell in rows.groupby(keys, dropna=False):
        model, method, knobs, stage = (str(cell[name].iloc[0]) for name in keys[:-1])
        name = f"{method} {knobs}" if entries[method] > 1 else method
        name += "" if stage == "final" else f", {stage}"
        sparsity = cell["sparsity"].iloc[0]
        zeros = "its own" if pd.isna(sparsity) else format_sparsity(float(sparsity))
        numbers = [_write_mean(cell[column], column) for column in columns]
        late = [_count_late(cell, facts)] if facts.iterations else []
        body.append((model, name, zeros, str(cell["seed"].nunique()), *numbers, *late))
    body.sort(key=lambda line: (line[0], line[1] != "dense"))
    titles = [KNOWN_METRICS[column].heading for column in columns]
    late_title = ["late"] if facts.iterations else []
    head = ("network", "method", "sparsity (%)", "n", *titles, *late_title)
    return _write_table(head, body, text_columns=2)


def _write_mean(values: pd.Series, column: str) -> str:
    known = values.dropna().astype(float)
    if known.empty:
        return NOTHING
    found, decimals = t_interval(known), KNOWN_METRICS[column].decimals
    spread = "" if found.half_width is None else f" ± {found.half_width:,.{decimals}f}"
    return f"{found.mean:,.{decimals}f}{spread}"


def _count_late(cell: pd.DataFrame, facts: Facts) -> str:
    known = cell["early_stop_iteration"].dropna().astype(float)
    return str(int((known > LAST_PART * (facts.iterations or 0)).sum())) if len(known) else NOTHING


def _write_table(head: Sequence[str], body: Sequence[Sequence[str]], *, text_columns: int) -> str:
    """A Markdown table whose first columns are text; the others stand right."""
    bar = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    lines = [head, bar, *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
