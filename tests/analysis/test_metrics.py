"""The metrics that a study can be shown in.

Covers: analysis/metrics.py, analysis/columns.py.
"""

from pathlib import Path

import pytest

from analysis.metrics import find_metric
from analysis.reading.load import load_study
from tests.analysis.synthetic import Writer, make_row


def test_times_and_gains_are_metrics(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("dense", 0.0, 1, latency_ms_b1=12.0)])
    rows = load_study(writer.finish()).rows
    assert find_metric("speedup_b1", rows).heading == "speed-up at batch 1 (x)"
    assert find_metric("latency_iqr_ms_b1", rows.assign(latency_iqr_ms_b1=1.0)).unit == "ms"
    with pytest.raises(ValueError, match="no row has a value of 'speedup_b256' yet"):
        find_metric("speedup_b256", rows)
