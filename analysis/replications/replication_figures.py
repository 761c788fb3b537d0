"""The figures of a replication, drawn by the report's own code from its recorded rows."""

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.canvas import Picture
from analysis.replications.papers import PAPERS
from analysis.replications.recorded_rows import RecordedRows
from analysis.statistics.results import collect_results


def draw_figures(recorded: RecordedRows, kind: str = "png") -> list[Picture]:
    """The metrics of the paper's figures against sparsity, one figure for each and every network;
    none where only the dense network was measured."""
    study = recorded.as_study()
    if not (study.rows["method"] != "dense").any():
        return []
    metrics = [
        name for name in PAPERS[recorded.facts.preset].metrics if study.rows[name].notna().any()
    ]
    pictures = []
    for name in metrics:
        results = collect_results(study, name)
        for setting in results.settings:
            pictures += draw_accuracy(results, setting, (kind,))
    return pictures
