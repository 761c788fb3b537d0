"""Where everything lies in a study directory: every path of it, and how file names are read back.

    study.yaml, plan.json                     what was asked for, and what is expected
    rows/, curves/, layers/, latency/<key>.parquet     the four tables
    artifacts/<key>/epoch-<n>-<checksum>.pt   weights of dense trainings, for other trials
    checkpoints/<key>/step-<n>-<checksum>.pt  states to continue from
    networks/<key>/level-<n>-<checksum>.pt    measured networks, where the study keeps them
    failures/<key>.json                       trials that were given up
    methods/<name>-<digest>.py                method files of the user
    report/, logs/, logged/                   what is made of the rows
    search.yaml, best.yaml, candidates/, best/     a search: what it asks for, found, tried, and trained anew
    lease.json                                the driver that holds the directory

Keys are `<dataset>-<model>/<method>/<sparsity>/seed<n>-<hash>`. Imports nothing but the standard
library.
"""

import re
from typing import NamedTuple

STUDY_FILE, PLAN_FILE, LEASE_FILE = "study.yaml", "plan.json", "lease.json"
SEARCH_FILE, BEST_FILE = "search.yaml", "best.yaml"
ROWS, CURVES, LAYERS, LATENCY = "rows", "curves", "layers", "latency"
ARTIFACTS, CHECKPOINTS, NETWORKS = "artifacts", "checkpoints", "networks"
FAILURES, METHODS, REPORT, LOGS, LOGGED = "failures", "methods", "report", "logs", "logged"
CANDIDATES, BEST = "candidates", "best"

# What a study directory holds besides the lease; `--fresh` deletes these and nothing else that lies
# there.
STUDY_PARTS = (
    *(ROWS, CURVES, LAYERS, LATENCY, ARTIFACTS, CHECKPOINTS, NETWORKS),
    *(FAILURES, REPORT, METHODS, LOGGED, LOGS, STUDY_FILE, PLAN_FILE),
)
SEARCH_PARTS = (
    SEARCH_FILE,
    BEST_FILE,
    BEST,
    CANDIDATES,
)  # what the directory of a search holds besides
_STATE = re.compile(r"(?P<kind>.+)-(?P<number>\d+)-(?P<checksum>[0-9a-f]{16})\.pt")


class StateName(NamedTuple):
    """What the path of a state says: the folder it is in, its kind (step, epoch, level), number and
    checksum."""

    folder: str
    kind: str
    number: int
    checksum: str


def table_file(table: str, key: str) -> str:
    """Path of a trial's part of a table: rows, curves, layers or latency."""
    return f"{table}/{key}.parquet"


def table_key(table: str, path: str) -> str:
    """The key of the trial that a file of a table is named after."""
    return path.removeprefix(f"{table}/").removesuffix(".parquet")


def failure_file(key: str) -> str:
    """Path of the record of a trial that was given up."""
    return f"{FAILURES}/{key}.json"


def failure_key(path: str) -> str:
    """The key of the trial that a record of a failure is named after."""
    return path.removeprefix(f"{FAILURES}/").removesuffix(".json")


def state_folder(part: str, key: str) -> str:
    """The folder of a trial's states; `part` is ARTIFACTS, CHECKPOINTS or NETWORKS."""
    return f"{part}/{key}"


def state_file(folder: str, kind: str, number: int, checksum: str, *, digits: int = 6) -> str:
    """Path of one state: its number (a position, an epoch or a level) and the start of its
    content's SHA-256."""
    return f"{folder}/{kind}-{number:0{digits}d}-{checksum}.pt"


def parse_state(path: str) -> StateName | None:
    """What the path of a state says; None of a path that is no state's."""
    folder, _, name = path.rpartition("/")
    match = _STATE.fullmatch(name)
    return (
        StateName(folder, match["kind"], int(match["number"]), match["checksum"]) if match else None
    )
