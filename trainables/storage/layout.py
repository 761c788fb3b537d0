"""Where everything lies in a study directory: every path of it, and how file names are read back.

    study.yaml, plan.json                     what was asked for, and what is expected
    rows/<key>.parquet                        the measured levels of a trial; curves/, layers/ and
                                              latency/ hold the three other tables in the same way
    artifacts/<key>/epoch-<n>-<checksum>.pt   weights of dense trainings, for other trials
    checkpoints/<key>/step-<n>-<checksum>.pt  states from which trials continue, and
                                              checkpoints/<key>/newest, the path of the last one
    networks/<key>/level-<n>-<checksum>.pt    measured networks, where the study saves them
    models.json                               the digests of the user's networks that ran here
    precision/<network>.json                  in which precision a network trains on GPUs
    failures/<key>.json                       trials that were given up
    methods/<name>-<digest>.py                method files of the user
    weights/<digest>.safetensors              trained weights that trials begin with, and
                                              weights/<name>.json, which source has which digest
    report/                                   figures, tables and the page, made of the rows
    logs/, logged/<logger>/<key>.json         files of TensorBoard, and what each logger has
    lease.json                                the process that holds the directory
    launches/<token>                          the launch that runs, by which workers know the place

The directory of a search holds the same of its candidates, and further

    search.yaml, best.yaml                    what was asked for, and the best as a study file
    candidates/s<sparsity>/<number>.json      what became of each candidate
    best/                                     the study directory of the best, trained anew

Keys are `<dataset>-<model>/<method>/<sparsity>/seed<n>-<hash>`. Imports nothing but the standard
library.
"""

import hashlib
import re
from typing import NamedTuple

STUDY_FILE, PLAN_FILE, LEASE_FILE = "study.yaml", "plan.json", "lease.json"
ROWS, CURVES, LAYERS, LATENCY = "rows", "curves", "layers", "latency"
ARTIFACTS, CHECKPOINTS, NETWORKS = "artifacts", "checkpoints", "networks"
FAILURES, METHODS, REPORT, LOGS, LOGGED = "failures", "methods", "report", "logs", "logged"
WEIGHTS, PRECISION, LAUNCHES = "weights", "precision", "launches"
SEARCH_FILE, BEST_FILE, CANDIDATES, BEST = "search.yaml", "best.yaml", "candidates", "best"
MODEL_SOURCES_FILE = "models.json"
IDENTITY_FILE = f"{LOGGED}/identity"  # a random name that tells a study from all others

# What a study directory holds besides the lease and the launch: `--fresh` deletes these and
# nothing else, in this order, so that half a deletion still is a study.
STUDY_PARTS = (
    *(ROWS, CURVES, LAYERS, LATENCY, ARTIFACTS, CHECKPOINTS, NETWORKS),
    *(FAILURES, METHODS, WEIGHTS, PRECISION, REPORT, LOGS, LOGGED),
    *(MODEL_SOURCES_FILE, PLAN_FILE, STUDY_FILE),
)
SEARCH_PARTS = (BEST_FILE, BEST, CANDIDATES, SEARCH_FILE)  # and the directory of a search
# One of these is in every directory in which a study or a search has begun.
SIGNS = (STUDY_FILE, SEARCH_FILE, PLAN_FILE, LEASE_FILE)

LONGEST_NAME = 150  # letters of a part of a file name; most file systems take 255 of a whole one
_STATE = re.compile(r"(?P<kind>.+)-(?P<number>\d+)-(?P<checksum>[0-9a-f]{16})\.pt")


class StateName(NamedTuple):
    """What the path of a state says: its folder, its kind (step, epoch or level), its number, and
    the start of the SHA-256 of its content."""

    folder: str
    kind: str
    number: int
    checksum: str


def table_file(table: str, key: str) -> str:
    """Path of a trial's part of a table: ROWS, CURVES, LAYERS or LATENCY."""
    return f"{table}/{key}.parquet"


def table_key(table: str, path: str) -> str:
    """The key of the trial that a file of a table is named after."""
    return path.removeprefix(f"{table}/").removesuffix(".parquet")


def failure_file(key: str) -> str:
    """Path of the record of a trial that was given up."""
    return f"{FAILURES}/{key}.json"


def launch_file(token: str) -> str:
    """Path of the token of a launch."""
    return f"{LAUNCHES}/{token}"


def probe_file(process: str) -> str:
    """Path of a file by which a process sees whether the directory can be written to."""
    return f"{LOGS}/probe-{re.sub(r'[^A-Za-z0-9.-]+', '-', process)}"


def failure_key(path: str) -> str:
    """The key of the trial that a record of a failure is named after."""
    return path.removeprefix(f"{FAILURES}/").removesuffix(".json")


def state_folder(part: str, key: str) -> str:
    """The folder of a trial's states; `part` is ARTIFACTS, CHECKPOINTS or NETWORKS."""
    return f"{part}/{key}"


def state_key(path: str) -> str:
    """The key of the trial in whose folder a state lies."""
    return path.partition("/")[2].rpartition("/")[0]


def state_file(folder: str, kind: str, number: int, checksum: str, *, digits: int = 6) -> str:
    """Path of a state: its number (a position, an epoch or a level) and the start of the SHA-256
    of its content."""
    return f"{folder}/{kind}-{number:0{digits}d}-{checksum}.pt"


def newest_file(folder: str) -> str:
    """Path of the file that names the checkpoint written last into a folder."""
    return f"{folder}/newest"


def parse_state(path: str) -> StateName | None:
    """What the path of a state says; None where the path is not that of a state."""
    folder, _, name = path.rpartition("/")
    match = _STATE.fullmatch(name)
    if not match:
        return None
    return StateName(folder, match["kind"], int(match["number"]), match["checksum"])


def method_file(name: str, digest: str) -> str:
    """Path of the user's method file of that name and SHA-256, so that each content has its own."""
    return f"{METHODS}/{name}-{digest[:12]}.py"


def method_name(path: str) -> str:
    """The name of the user's method that a method file holds."""
    return path.removeprefix(f"{METHODS}/").rpartition("-")[0]


def precision_file(model: str) -> str:
    """Path of the record of the precision in which a network, by its name, trains on GPUs."""
    return f"{PRECISION}/{re.sub('[^A-Za-z0-9_.-]', '-', model)}.json"


def weights_file(digest: str) -> str:
    """Path of the trained weights whose tensors have that digest."""
    return f"{WEIGHTS}/{digest}.safetensors"


def weights_record_file(name: str) -> str:
    """Path of the record of what a request for weights gave."""
    return f"{WEIGHTS}/{name}.json"


def logged_folder(logger: str) -> str:
    """The folder of the notes on what a logger has."""
    return f"{LOGGED}/{logger}"


def logged_file(logger: str, key: str) -> str:
    """Path of the note that a logger has a trial to its end."""
    return f"{LOGGED}/{logger}/{key}.json"


def logged_key(logger: str, path: str) -> str:
    """The key of the trial that such a note is named after."""
    return path.removeprefix(f"{LOGGED}/{logger}/").removesuffix(".json")


def make_file_name(text: str) -> str:
    """A text as part of a file name: ASCII letters, digits, points and underscores, other signs as
    hyphens. One that lost letters of another script, or its end, has a digest: two texts never get
    one name for that."""
    plain = re.sub(r"[^a-zA-Z0-9_.]+", "-", text).strip("-")
    if text.isascii() and len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (plain[:LONGEST_NAME].strip("-"), digest)))


def comparison_folder(other: str) -> str:
    """The folder of the comparison with another study."""
    return f"{REPORT}/versus-{other}"


def candidate_file(sparsity: float, number: int) -> str:
    """Path of the record of a search's candidate."""
    return f"{CANDIDATES}/s{sparsity:.6g}/{number:05d}.json"
