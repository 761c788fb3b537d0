"""The command `python -m trainables.export`: what it prints and how it exits.

Covers: trainables/export/command.py, trainables/export/__main__.py.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.export.small_study import MASKED
from trainables import export as module
from trainables.export.command import main
from trainables.storage.store import Store

ERRORS = {
    "digits-resnet8/magnitude/s0.700/seed4": (
        "no trial '.*' in .*; the nearest are digits-resnet8/magnitude/s0.600/seed4-"
    ),
    "digits-resnet9/l1_filter/s0.600/seed4": (
        "no trial '.*' in .*; the nearest are digits-resnet8/l1_filter/s0.600/seed4-"
    ),
    "digits-resnet8/l": (
        "'digits-resnet8/l' begins 2 keys, e.g. digits-resnet8/l1_filter/.*; give more of one"
    ),
    "": "no trial '' in .*; the nearest are",
    "planned": "planned/one is not done; run the study again to finish it",
    "failed": r"failed/one failed \(.*failures/failed/one.json\), so it has no network",
    "damaged": "the rows of damaged/one are damaged",
    "foreign": r"the rows of foreign/one are damaged \(it is of another trial than its name says\)",
}


@pytest.mark.parametrize("key", ERRORS)
def test_a_trial_that_cannot_be_exported_is_one_line(
    key: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study, folder)
    trials = [{"key": f"{name}/one"} for name in ("planned", "failed", "damaged", "foreign")]
    Store.at(folder).write("plan.json", json.dumps({"trials": trials}).encode())
    Store.at(folder).write("failures/failed/one.json", b"{}")
    Store.at(folder).write("rows/damaged/one.parquet", b"no Parquet")
    Store.at(folder).write(
        "rows/foreign/one.parquet", Store.at(folder).read(f"rows/{MASKED.key}.parquet")
    )
    assert main([key, "--study", str(folder), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert re.search(ERRORS[key], line)
    assert not (tmp_path / "out").exists()


def test_without_saved_networks_the_message_says_how_to_get_them(
    bare: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main([MASKED.key, "--study", str(bare)]) == 2
    line = capsys.readouterr().err
    assert (
        "--again, which trains this trial" in line
        and "--set keep_networks=all" in line
        and line.count("\n") == 1
    )


def test_help_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom trainables.export.command import main\n"
        "assert main(['x', '--study', 'nowhere']) == 2\nassert 'torch' not in sys.modules"
    )
    root = Path(module.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, stderr=subprocess.DEVNULL, timeout=120
    )
