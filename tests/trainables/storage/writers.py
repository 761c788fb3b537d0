"""Programs that write to a study directory in a process of their own, for the tests of this folder.

start_writer("overwrite", store.uri, "A", "path of a file that ends it")
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trainables.storage import retry
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]


def start_writer(name: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs the function of this file of that name."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.trainables.storage.writers", name, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def overwrite(uri: str, letter: str, end: str) -> None:
    """Write one file again and again, until there is a file `end`; never the same bytes twice."""
    number = 1
    while not os.path.exists(end):
        content = f"{letter}{number % 1000:03d}".encode() * (1000 * (ord(letter) - 64))
        Store.at(uri).write("rows/a", content)
        number += 1
        # What is replaced all the time cannot be read: a bucket says so and the reader retries.
        time.sleep(0.2)


def write_many(uri: str, count: str) -> None:
    """Write many files into one folder."""
    retry.FIRST_PAUSE = 0.001
    store = Store.at(uri)
    for number in range(int(count)):
        store.write(f"checkpoints/key/step-{number}", b"x")


def die_before_sync(uri: str) -> None:
    """Be killed when the content is written and not yet synced."""
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
    Store.at(uri).write("rows/a", b"half")


def write_large(uri: str) -> None:
    """Replace a file by one that is uploaded in several parts."""
    Store.at(uri).write("rows/old", bytes(12_000_000))


if __name__ == "__main__":
    programs = {program.__name__: program for program in (overwrite, write_many)}
    programs |= {program.__name__: program for program in (die_before_sync, write_large)}
    programs[sys.argv[1]](*sys.argv[2:])
