"""Study directories that cannot be used, or hold something else than what is asked for."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.raising import raising

Patch = pytest.MonkeyPatch
SMALL = ["--preset", "digits", "--methods", "magnitude", "--sparsities", "0.5", "--seeds", "0"]


def store_failing(number: int, *, writing: bool = True) -> Callable[[Path, Patch], None]:
    """An environment in which the disk of the study directory answers with an error of the
    operating system."""

    def fail(here: Path, patch: Patch) -> None:
        verbs = ("write",) if writing else ("write", "read", "list", "exists")
        for verb in verbs:
            patch.setattr(
                f"trainables.storage.local_disk.Disk.{verb}",
                raising(OSError(number, os.strerror(number))),
            )
        patch.setenv("PRUNING_STORE_PATIENCE", "0.01")

    return fail


def bucket_failing(text: str) -> Callable[[Path, Patch], None]:
    """An environment in which a bucket answers as pyarrow says it."""

    def fail(here: Path, patch: Patch) -> None:
        patch.setattr(
            "trainables.storage.object_store.Bucket._open_filesystem", raising(OSError(text))
        )
        patch.setenv("PRUNING_STORE_PATIENCE", "0.01")

    return fail


def held_by_another(here: Path, patch: Patch) -> None:
    """The lease of a process that lives: this one."""
    from sweeps.running.lease import Lease
    from trainables.storage.layout import LEASE_FILE
    from trainables.storage.store import Store

    since = time.mktime((2026, 1, 2, 3, 4, 0, 0, 0, -1))
    Store.at(here / "out").write(
        LEASE_FILE, replace(Lease.mine(), host="other", since=since).encode()
    )
    patch.setattr("sweeps.running.lease.DYING", 0.01)


def study_without_rows(here: Path, patch: Patch) -> None:
    for age, name in enumerate(("one", "two")):  # the second one is newer
        (here / name).mkdir()
        (here / name / "study.yaml").write_text(f"name: {name}\n")
        os.utime(here / name / "study.yaml", (age, age))


def study_of_another_length(here: Path, patch: Patch) -> None:
    from sweeps import full_study
    from sweeps.cli.study_request import read_study
    from sweeps.planning.plan import make_plan
    from sweeps.planning.study_directory import write_study_description
    from trainables.storage.store import Store

    spec = read_study(full_study.make_parser().parse_args(SMALL), default_preset="")
    write_study_description(spec, make_plan(spec), Store.at(here / "out"))


def made_up_studies(here: Path, patch: Patch) -> None:
    """A study with a failed, a missing and a damaged trial, and one of another network."""
    from tests.analysis.synthetic import write_study

    write_study(
        here / "one",
        methods=("magnitude", "synflow", "random"),
        sparsities=(0.5, 0.9),
        seeds=(1, 2),
        gaps=True,
    )
    write_study(
        here / "two", methods=("snip",), sparsities=(0.5,), seeds=(1, 2), setting={"model": "vgg16"}
    )


def search_with_a_damaged_record(here: Path, patch: Patch) -> None:
    path = here / "out" / "candidates" / "s0.900" / "0000.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"number": 0})[:-1])
