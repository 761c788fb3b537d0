"""The process that keeps the report of a running study current:
`python -m sweeps.live_view.report_process STUDY --watch SECONDS`.

Runs `python -m analysis` with these words at the lowest priority. It ends when its standard input
does, so with the driver that started it, however that ends; it takes what time the trials leave.
"""

import os
import runpy
import sys
import threading


def main(module: str) -> None:
    """Run a module as a program until it ends or the standard input does."""
    if hasattr(os, "nice"):
        os.nice(19)
    threading.Thread(target=_end_with_input, daemon=True).start()
    runpy.run_module(module, run_name="__main__")


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main("analysis")
