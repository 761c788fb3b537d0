"""The questions that a reader has at one sparsity, each with its answer from the leaderboard: best,
second, significant, budget, controls, speed, and what is missing."""

from dataclasses import dataclass

import pandas as pd

from analysis.captions import format_decimal, format_interval, format_p
from analysis.reading.study_completeness import MissingTrials
from analysis.statistics.results import Results
from pruning.user_error import list_some


@dataclass(frozen=True)
class Answer:
    """One question of a reader, its answer in a few words, and what is to be added."""

    question: str
    text: str
    detail: str = ""


def answer_questions(results: Results, rows: pd.DataFrame, missing: MissingTrials) -> list[Answer]:
    """The questions of a reader at one sparsity, with their answers."""
    methods = rows[rows["role"] == "method"]
    answers = []
    if len(methods):
        best = methods[methods["is_best"]].iloc[0]
        others = methods[~methods["is_best"]].sort_values("rank", kind="stable")
        answers = [
            _name_best(results, best),
            *_name_second(results, others),
            _count_separable(others),
            _compare_with_dense(results, best),
            _compare_budgets(best, others, rows[rows["role"] == "baseline"]),
            _compare_with_controls(best),
            _describe_speed(rows, best),
        ]
    return [*answers, Answer("What is missing?", *_split_count(missing.summarise()))]


def _split_count(summary: str) -> tuple[str, str]:
    """`3 of 9 trials done, 2 failed` as what is done and what else there is."""
    done, _, rest = summary.partition(", ")
    return done, rest


def _name_best(results: Results, best: pd.Series) -> Answer:
    value = format_interval(best["mean"], best["low"], best["high"], results.metric.decimals)
    unit = f" {results.metric.unit}" if results.metric.unit else ""
    planned = best["expected"]
    lacks = f" of {planned:.0f} planned" if pd.notna(planned) and best["n"] < planned else ""
    return Answer("Best?", str(best["series"]), f"{value}{unit}, n = {best['n']}{lacks}")


def _name_second(results: Results, others: pd.DataFrame) -> list[Answer]:
    """The second best method, and by how much it is behind, over the seeds that both have."""
    if others.empty:
        return []
    second = others.iloc[0]
    gap = float(second["difference_to_best"])
    text = f"{format_decimal(gap, results.metric.decimals, sign=True)} to the best"
    return [Answer("Second?", str(second["series"]), f"{text}, {_judge(second, 'best')}")]


def _judge(row: pd.Series, rival: str) -> str:
    """Whether a row is separable from a rival (`best` or `dense`), with the p-value."""
    p = row[f"p_{rival}_adjusted"]
    if pd.isna(p):
        return "not tested"
    verdict = "separable" if row[f"separable_from_{rival}"] else "not separable"
    return f"{verdict} ({format_p_with_sign(p)})"


def format_p_with_sign(p: float) -> str:
    """A p-value as `p = 0.02` or `p < 0.0001`."""
    text = format_p(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _count_separable(others: pd.DataFrame) -> Answer:
    """How many of the other methods are separably behind the best."""
    tested = others["p_best_adjusted"].notna()
    alone = others.loc[others["n"] < 2, "series"].tolist()
    if not tested.any():
        why = "a test needs two seeds" if alone else "no result varies with the seed"
        return Answer(
            "Significant?", "not tested", why if len(others) else "there is no other method"
        )
    worse = others["separably_behind"].fillna(value=False).astype(bool)
    equal = others.loc[tested & ~worse, "series"].tolist()
    text = f"{int(worse.sum())} of {int(tested.sum())} others separably behind"
    if tested.sum() == 1:
        text = "the other is separably behind" if worse.any() else "no"
    details = [f"not separable: {list_some(equal, 2)}"] if equal else []
    details += [f"of one seed, not tested: {list_some(alone, 2)}"] if alone else []
    return Answer("Significant?", text, "; ".join(details))


def _compare_with_dense(results: Results, best: pd.Series) -> Answer:
    if pd.isna(best["difference_to_dense"]):
        return Answer("Against dense?", "unknown", "the dense network is not measured")
    text = format_interval(
        best["difference_to_dense"],
        best["dense_low"],
        best["dense_high"],
        results.metric.decimals,
        sign=True,
    )
    return Answer("Best against dense?", text, _judge(best, "dense"))


def _compare_budgets(best_row: pd.Series, rest: pd.DataFrame, baselines: pd.DataFrame) -> Answer:
    """Whether the best method trained longer than the others."""
    best = best_row["total_epochs"]
    if pd.isna(best):
        return Answer("Fair budget?", "unknown", "the plan does not say what trials start from")
    dense = baselines.loc[baselines["method"] == "dense", "total_epochs"].dropna()
    detail = f"dense {dense.iloc[0]:.0f}, " if len(dense) else ""
    others = rest["total_epochs"].astype(float).dropna()
    if not len(others):
        return Answer("Fair budget?", f"{best:.0f} epochs", detail.rstrip(", "))
    low, high = f"{others.min():.0f}", f"{others.max():.0f}"
    detail += f"other methods {low}" + ("" if low == high else f" to {high}")
    if best > others.max():
        verdict = "no: the best trained longest"
    else:
        longer = int((others > best).sum())
        verdict = f"{longer} of {len(others)} others trained longer"
        if len(others) == 1:
            verdict = f"the other {'trained' if longer else 'did not train'} longer"
    return Answer("Fair budget?", verdict, f"epochs in total: {best:.0f}; {detail}")


def _compare_with_controls(best: pd.Series) -> Answer:
    question = "Best beats its controls?"
    if pd.isna(best["controls"]) or not best["controls"]:
        return Answer(question, "not tested", "no control of it was measured at this sparsity")
    text = f"{best['controls_beaten']} of {best['controls']}"
    worse = best["worse_than_control"]
    is_worse = pd.notna(worse) and bool(worse)
    detail = "separably better; separably worse than one" if is_worse else "separably better"
    return Answer(question, text, detail)


def _describe_speed(rows: pd.DataFrame, best: pd.Series) -> Answer:
    question = "Best really faster?"
    in_theory = ""
    if pd.notna(best["theoretical_speedup"]):
        in_theory = f"{best['theoretical_speedup']:.1f} times fewer MACs"
    if pd.notna(best["speedup"]):
        return Answer(question, f"{best['speedup']:.2f} times, measured", in_theory)
    if rows["speedup"].notna().any():
        fastest = rows.sort_values("speedup", ascending=False).iloc[0]
        measured = f"fastest: {fastest['series']}, {fastest['speedup']:.2f} times"
        return Answer(question, "not measured", f"{measured}; {in_theory}".rstrip("; "))
    return Answer(question, "not measured (--measure)", in_theory)
