"""What a report costs: `python -m analysis` on a finished digits study, and on a made-up one of
1,000,000 rows.

    python benchmarks/analysis.py [STUDY_DIR]

Claims, on 2 cores: the whole command takes less than 5 s for the digits study (`--preset digits`,
every method) that STUDY_DIR holds, and less than 20 s and 2 GB for a million rows, which are
written to a temporary folder first. Commands are whole processes with all formats; seconds are
medians. Memory is the sum over the command's processes of what each holds, pages that several share
counted once, checked ten times a second. Without STUDY_DIR, only the million.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "analysis")]

from million import LEVELS, METHODS, SEEDS, write_million

CORES, RUNS = 2, 3
DIGITS, MILLION, MEMORY = 5.0, 20.0, 2.0  # s, s, GB


def main(study: Path | None) -> None:
    """Measure what there is, and print it."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # children inherit it
    print(
        f"{_name_processor()}, {len(cores)} of {os.cpu_count()} cores, load before: "
        f"{os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if study is not None:
            rows = sum(1 for _ in (study / "rows").rglob("*.parquet"))
            _print_claim(
                f"digits study, {rows} files of rows", _measure(study, folder), DIGITS, None
            )
        million = write_million(Path(folder, "million"))
        rows = (METHODS - 1) * SEEDS * LEVELS + SEEDS
        _print_claim(
            f"{rows:,} rows in {METHODS * SEEDS:,} files",
            _measure(million, folder),
            MILLION,
            MEMORY,
        )


def _print_claim(
    what: str, measured: list[tuple[float, float]], seconds: float, memory: float | None
) -> None:
    """Print one claim and whether it holds."""
    durations, memories = zip(*measured, strict=True)
    took, held = median(durations), max(memories)
    ok = took < seconds and (memory is None or held < memory)
    spread = f"{min(durations):.2f} to {max(durations):.2f}"
    claim = f"less than {seconds:g} s" + (f" and {memory:g} GB" if memory is not None else "")
    print(
        f"{what}: median {took:.2f} s ({spread}, n = {len(measured)}), at most {held:.2f} GB",
        end="; ",
    )
    print(f"claim: {claim}: {'holds' if ok else 'DOES NOT HOLD'}")


def _measure(study: Path, folder: str) -> list[tuple[float, float]]:
    """Seconds and GB of each run of the command; nothing is written to the study."""
    measured = []
    for number in range(RUNS):
        command = [
            sys.executable,
            "-m",
            "analysis",
            str(study.resolve()),
            "--out",
            f"{folder}/report{number}",
        ]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        most: list[int] = [0]
        memory_thread = threading.Thread(target=_watch_memory, args=(process, most))
        memory_thread.start()
        status = process.wait()
        took = time.perf_counter() - began
        memory_thread.join()
        if status:
            sys.exit(f"error: the command ended with {status}")
        measured.append((took, most[0] / 1e6))
    return measured


def _watch_memory(process: subprocess.Popen[bytes], most: list[int]) -> None:
    """Keep the most memory in kB that a process and its children held at one time."""
    while process.poll() is None:
        most[0] = max(most[0], sum(map(_read_memory, _list_family(process.pid))))
        time.sleep(0.1)


def _list_family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *map(int, children)]


def _read_memory(pid: int) -> int:
    """The proportional set size of a process in kB; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _name_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        "unknown processor",
    )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python benchmarks/analysis.py [STUDY_DIR]")
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else None)
