"""What must hold after a campaign, each with what was found."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.planning.plan import make_plan
from sweeps.study_file.study import build_study
from tests.chaos.faults import Fault
from tests.chaos.places import Folder, Place
from tests.chaos.stage import Stage
from tests.chaos.witness import Evidence, Loss
from trainables.storage import parquet_tables, schema

TABLES = ("rows", "curves", "layers")
KNOWN = ("rows/", "curves/", "layers/", "artifacts/", "study.yaml", "plan.json", "models.json")
WITHIN = {
    "rows": ("level", "stage"),
    "curves": ("step", "split"),
    "layers": ("level", "stage", "layer"),
}


@dataclass(frozen=True)
class Claim:
    """One thing that must hold: whether it does, in a line, and the first exceptions."""

    line: str
    holds: bool
    exceptions: tuple[str, ...] = ()

    @classmethod
    def none(cls, what: str, found: Iterable[str]) -> "Claim":
        """There is none of something."""
        listed = sorted(found)
        return cls(f"{what}: {len(listed)}", not listed, tuple(listed[:5]))

    @classmethod
    def all(cls, what: str, total: int, exceptions: Iterable[str]) -> "Claim":
        """It holds for all of something, of which there is at least one."""
        listed = sorted(exceptions)
        return cls(
            f"{what}: {total - len(listed)} of {total}", total > 0 and not listed, tuple(listed[:5])
        )


@dataclass(frozen=True)
class Hit:
    """A fault and one trial it hit.

    worked: seconds until a worker was at work again, be it on another trial. recovered: seconds
    until the trial itself went on; a lost trial may have to queue. None if it never came. repeated,
    lost: batches, and seconds, computed again.
    """

    fault: Fault
    key: str
    worked: float | None
    recovered: float | None
    repeated: int
    lost: float


def hits(stage: Stage, seen: Evidence) -> list[Hit]:
    """Every fault with every trial that was open, and not done, in a process it hit."""
    blamed = blame(stage, seen.losses())
    found = []
    for fault in stage.faults:
        keys = {key for pid in fault.hit if (key := seen.key_of(pid, fault.at))}
        for key in sorted(keys):
            done = stage.rows_seen.get(key)
            if done and done <= fault.at:
                continue
            moved = seen.progress(key, after=fault.at, since=fault.since)
            worked = seen.work(after=fault.at, since=fault.since)
            recovered = _soonest(fault, moved, done)
            lost = [loss for loss, culprit in blamed if culprit is fault and loss.key == key]
            counts, seconds = (
                sum(loss.count for loss in lost),
                max((loss.seconds for loss in lost), default=0.0),
            )
            found.append(
                Hit(fault, key, _soonest(fault, worked, moved, done), recovered, counts, seconds)
            )
    return found


def _soonest(fault: Fault, *moments: float | None) -> float | None:
    """Seconds from a fault to the first of some moments."""
    return min((at - fault.at for at in moments if at is not None), default=None)


def blame(stage: Stage, losses: list[Loss]) -> list[tuple[Loss, Fault | None]]:
    """Each loss with the fault that caused it: the last one before the trial went on that damaged
    its checkpoint; else the last that hit its process."""
    found: list[tuple[Loss, Fault | None]] = []
    for loss in losses:
        before = [fault for fault in stage.faults if fault.at <= loss.until]
        direct = [fault for fault in before if loss.pid in fault.hit]
        culprits = damages(stage, loss) or direct or before
        found.append((loss, culprits[-1] if culprits else None))
    return found


def damages(stage: Stage, loss: Loss) -> list[Fault]:
    """The faults that damaged a checkpoint of a trial after it was written by the process that died
    and before the trial went on: it may have been opened in between by a process that was killed
    before its first batch."""
    return [
        fault
        for fault in stage.faults
        if fault.planned.kind == "checkpoint damaged"
        and fault.at <= loss.until
        and (loss.pid in fault.hit or (loss.key in fault.keys and fault.at >= loss.ended))
    ]


def judge(
    stage: Stage, seen: Evidence, still: Folder, calm: Evidence, left_over: list[str]
) -> list[Claim]:
    """All claims on one stage. `still` and `calm`: results and witnesses of the undisturbed run of
    the same study."""
    keys = list(make_plan(build_study(stage.study, where=stage.name)).by_key)
    files = stage.place.files()
    claims = [_same(table, stage.place, still, keys, files) for table in TABLES]
    claims.append(_same_artifacts(set(files), set(still.files()), set(keys)))
    for table in TABLES:
        there = {
            path.removeprefix(f"{table}/").removesuffix(".parquet")
            for path in files
            if path.startswith(f"{table}/")
        }
        claims.append(Claim.none(f"{table} missing", set(keys) - there))
        claims.append(Claim.none(f"{table} of no trial", there - set(keys)))
        claims.append(
            Claim.none(f"{table} doubled", _doubled(table, stage.place, there & set(keys)))
        )
    claims += [
        Claim.none("rows written again", stage.replaced),
        Claim.none("checkpoints left", (path for path in files if path.startswith("checkpoints/"))),
        Claim.none("unfinished files left", stage.place.unfinished()),
        Claim.none(
            "files that are not of a study left",
            (path for path in files if not path.startswith(KNOWN)),
        ),
        Claim.none("files that another launch of the finished study changed", stage.changed),
        Claim.none("trials given up", stage.failures),
        Claim.none("tracebacks printed by a driver", stage.driver.tracebacks()),
        Claim.none("trial processes, drivers or actors left", left_over),
    ]
    return claims + _work(stage, seen, calm, set(keys))


def _work(stage: Stage, seen: Evidence, calm: Evidence, keys: set[str]) -> list[Claim]:
    """Claims on what was computed."""
    needed = {batch: count for batch, count in calm.counts.items() if batch[0] in keys}
    strange = [f"{key} {mark}" for key, mark in seen.counts if (key, mark) not in needed]
    skipped = [f"{key} {mark}" for key, mark in needed if (key, mark) not in seen.counts]
    interval = float(stage.study["checkpoint_seconds"])
    losses = blame(stage, seen.losses())
    beyond = []
    for loss, fault in losses:
        intervals = 1 + len(damages(stage, loss))
        if loss.seconds > intervals * interval + loss.pause:
            cause = f"{fault.planned.number} {fault.planned.kind}" if fault else "no fault"
            beyond.append(
                f"{loss.key}: {loss.count} batches in {loss.seconds:.2f} s (process {loss.pid}, "
                f"fault {cause})"
            )
    found = hits(stage, seen)
    stuck = [
        f"{hit.key} after fault {hit.fault.planned.number}"
        for hit in found
        if hit.recovered is None
    ]
    return [
        Claim.all("batches computed as in the undisturbed run", len(needed), skipped),
        Claim.none("batches that the undisturbed run does not have", strange),
        Claim.all("trials that went on after a fault", len(found), stuck),
        Claim(
            f"losses within one checkpoint interval of {interval:g} s, and one for each damaged "
            "one: "
            f"{len(losses) - len(beyond)} of {len(losses)}",
            not beyond,
            tuple(beyond[:5]),
        ),
    ]


def _table(table: str, place: Place, key: str) -> list[dict[str, Any]]:
    """One trial's part of a table, without the columns that say when and where."""
    rows = parquet_tables.decode_table(table, place.read(f"{table}/{key}.parquet")).to_pylist()
    return [
        {name: v for name, v in row.items() if name not in schema.CIRCUMSTANCES | {"study"}}
        for row in rows
    ]


def _same(table: str, place: Place, still: Folder, keys: list[str], files: dict[str, str]) -> Claim:
    different = [
        key
        for key in keys
        if f"{table}/{key}.parquet" not in files
        or repr(_table(table, place, key)) != repr(_table(table, still, key))
    ]
    return Claim.all(f"trials with {table} identical to the undisturbed run", len(keys), different)


def _same_artifacts(files: set[str], still: set[str], keys: set[str]) -> Claim:
    """Weights kept for other trials; their names hold the checksum of their content."""
    here, there = (
        {
            path
            for path in paths
            if path.startswith("artifacts/")
            and path.removeprefix("artifacts/").rpartition("/")[0] in keys
        }
        for paths in (files, still)
    )
    return Claim.all("artifacts identical to the undisturbed run", len(here | there), here ^ there)


def _doubled(table: str, place: Place, keys: set[str]) -> list[str]:
    found = []
    for key in keys:
        counted = Counter(
            tuple(row[name] for name in WITHIN[table]) for row in _table(table, place, key)
        )
        found += [f"{key} {entry}" for entry, count in counted.items() if count > 1]
    return found


def leftovers(folder: Path) -> list[str]:
    """Mounts below a folder that were not taken down."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split(" ")[1] for line in lines if line.split(" ")[1].startswith(f"{folder}/")]
