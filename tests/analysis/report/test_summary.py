"""The sentences of the summary."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.missing_trials import find_missing_trials
from analysis.report.summary import write_summary
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row


def test_sentences_are_derived_from_the_numbers(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in range(5):
        noise = [0.10, -0.08, 0.02, -0.05, 0.01][seed]
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0 + noise, connected=True)])
        writer.add([make_row("magnitude", 0.9, seed, test_top1=93.6 - noise)])
        writer.add([make_row("synflow", 0.9, seed, test_top1=93.5 + 2 * noise, connected=seed > 0)])
        writer.add([make_row("random", 0.9, seed, test_top1=88.0 + 0.5 * noise)])
    study = load_study(writer.finish())
    summary = write_summary(collect_results(study), find_missing_trials(study))
    assert "The dense network has a test top-1 accuracy of 94.00 ± 0.09 % (n = 5)." in summary
    best = next(sentence for sentence in summary if "is best" in sentence)
    assert best == (
        "At 90 %, Magnitude is best with 93.60 ± 0.09 %; 1 of 2 other methods are not separable "
        "from it (n = 5)."
    )
    assert "At 90 %, every method is above uniformly random pruning, in the mean." in summary
    assert "1 of 20 measured networks are disconnected: SynFlow." in summary
    critical = next(sentence for sentence in summary if "within 1 point" in sentence)
    assert critical.startswith(
        "Magnitude and SynFlow stay within 1 point of the dense network, in the mean, up to 90 %"
    )
