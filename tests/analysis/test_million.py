"""A million rows: read, drawn and written in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis.million import LEVELS, METHODS, SEEDS, write_million

MEMORY = 2_000_000_000  # bytes

CODE = """
import sys
from analysis.__main__ import main
from tests.peak_memory import peak_memory
assert main([sys.argv[1], "--out", sys.argv[2]]) == 0
print(peak_memory())
"""


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    folder = write_million(tmp_path / "s")
    out = tmp_path / "out"
    command = [sys.executable, "-c", CODE, str(folder), str(out)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    *lines, memory = done.stdout.splitlines()
    assert int(memory) < MEMORY
    assert f"study 'million': {METHODS * SEEDS} of {METHODS * SEEDS} trials done." in lines
    assert "All rows are in rows/" in (out / "report.md").read_text()
    assert not (out / "all_results.json").exists()
    accuracy = (out / "tables/accuracy.csv").read_text().splitlines()
    assert len(accuracy) == 1 + 1 + (METHODS - 1) * LEVELS
    assert (out / "report.html").stat().st_size < 30_000_000
