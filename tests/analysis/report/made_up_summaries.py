"""Made-up studies whose summary is read, sentence by sentence."""

from collections.abc import Sequence
from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.summary import write_summary
from analysis.statistics.results import collect_results

NOISE = (0.10, -0.08, 0.02, -0.05, 0.01)  # of five seeds, added to a mean


def summarise(folder: Path, metric: str = "test_top1") -> list[str]:
    """The summary of the study in a directory."""
    study = load_study(folder)
    return write_summary(collect_results(study, metric), find_missing_trials(study))


def find(summary: Sequence[str], part: str) -> str:
    """The one sentence with some words in it."""
    (sentence,) = (sentence for sentence in summary if part in sentence)
    return sentence
