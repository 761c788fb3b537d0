"""Where a worker on this machine crashed: Ray passes on that it died, and keeps in the worker's log
the traceback that Python writes of a segmentation fault or an abort in a library."""

import re
from pathlib import Path

LOG_BYTES = 100_000  # of its end, in which the traceback is
INSTALLED = re.compile(r"/(site|dist)-packages/|/lib/python3")


def find_crash(error: str, session_folder: str | None) -> str | None:
    """The crash of a worker in one line, e.g. "Segmentation fault in graph.py, line 1113, called by
    epoch.py, line 237"; None where there was none, or its log is on another machine.

    Args:
        error: what Ray says of the worker's end, with its process.
        session_folder: where the Ray on this machine keeps its logs.
    """
    process = re.search(r"\bpid: (\d+)", error)
    if session_folder is None or process is None:
        return None
    for log in Path(session_folder, "logs").glob(f"worker-*-{process[1]}.err"):
        try:
            with log.open("rb") as file:
                file.seek(max(log.stat().st_size - LOG_BYTES, 0))
                text = file.read(LOG_BYTES).decode(errors="replace")
        except OSError:
            continue
        if fatal := re.search(r"^Fatal Python error: (.+)$", text, re.MULTILINE):
            return fatal[1].strip() + _find_places(text[fatal.end() :])
    return None


def _find_places(traceback: str) -> str:
    """The innermost call of a traceback, and the innermost one of the project's or the user's."""
    calls = re.findall(r'^  File "(.+)", line (\d+) in ', traceback, re.MULTILINE)
    own = [call for call in calls if not INSTALLED.search(call[0])]
    places = [f"{Path(file).name}, line {line}" for file, line in [*calls[:1], *own[:1]]]
    return f" in {', called by '.join(dict.fromkeys(places))}" if places else ""
