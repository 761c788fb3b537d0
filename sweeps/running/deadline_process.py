"""The process that ends a command which does not get on: `deadline_process.py PID`; see
`deadline.py`.

Each line of its standard input is a deadline in place of the one before: in how many seconds, and
what is said then; an empty line is none. Where it closes, the command has ended.
"""

import os
import select
import signal
import sys
import time

LAST_SECONDS = 5.0  # between the signal that ends the command with its exit code and SIGKILL


def wait_for_deadline() -> str:
    """What is said as a deadline passes; "" where the command ends before."""
    until, words = None, ""
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([0], [], [], left)[0]:
            return words
        lines = os.read(0, 65536).decode()
        if not lines:
            return ""
        seconds, _, words = lines.splitlines()[-1].partition(" ")
        until = time.monotonic() + float(seconds) if seconds else None


def end(command: int, words: str) -> None:
    """End the command, with one line."""
    os.write(2, f"error: {words}\n".encode())
    os.kill(command, signal.SIGQUIT)
    if not select.select([0], [], [], LAST_SECONDS)[0]:  # it closes as the command ends
        os.kill(command, signal.SIGKILL)


if __name__ == "__main__":
    if said := wait_for_deadline():
        try:
            end(int(sys.argv[1]), said)
        except OSError:  # nobody reads the line, or the command has ended
            os._exit(1)
