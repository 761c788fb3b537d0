"""Whether the instruments of the chaos campaign can be trusted: its schedule, its witness, its
verdict, its tools."""

import errno
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.chaos import campaign, faults, processes, table, verdict
from tests.chaos.disk import Disk, release
from tests.chaos.memory import Memory
from tests.chaos.places import Folder, damage
from tests.chaos.undisturbed import walk
from tests.chaos.witness import Evidence

# The schedule


def test_kinds_and_moments_of_faults_follow_from_the_seed() -> None:
    first, again, other = (faults.draw(seed, 100, faults.LOCAL) for seed in (5, 5, 6))
    assert first == again != other
    counts = {kind: sum(fault.kind == kind for fault in first) for kind in faults.LOCAL}
    assert counts == faults.LOCAL, "of 100 faults each kind has its share"
    assert {fault.kind for fault in faults.draw(0, len(faults.LOCAL), faults.LOCAL)} == set(
        faults.LOCAL
    )


def test_a_quarter_of_the_faults_falls_to_the_bucket() -> None:
    planned = campaign.plan(campaign.parser().parse_args(["--faults", "100"]))
    assert {name: len(listed) for name, listed in planned.items()} == {"local": 75, "s3": 25}
    assert {fault.kind for listed in planned.values() for fault in listed} == set(faults.KINDS)


def test_damage_always_changes_the_content_and_the_same_way() -> None:
    content = bytes(range(256)) * 8
    damaged = [damage(content, how=number / 50) for number in range(50)]
    assert all(broken != content for broken, _ in damaged)
    assert {how.split()[0] for _, how in damaged} == {"cut", "one"}
    assert damaged == [damage(content, how=number / 50) for number in range(50)]


# The witness


def log(folder: Path, pid: int, *lines: str) -> None:
    (folder / f"{pid}.log").write_text("".join(f"{line}\n" for line in lines))


def test_lost_work_is_what_a_later_opening_computes_again(tmp_path: Path) -> None:
    log(tmp_path, 1, "10.0 open k", "10.1 a k", "10.2 b k", "10.3 c k", "10.7 d k")
    log(tmp_path, 2, "20.0 open k", "20.1 c k", "20.2 d k", "20.3 e k")  # went on after b
    log(tmp_path, 3, "30.0 open k", "30.1 f k", "31.0 open other", "31.1 a other")
    (loss,) = Evidence.read(tmp_path).losses()
    assert (loss.pid, loss.key, loss.count, loss.until) == (1, "k", 2, 20.2)
    assert loss.seconds == pytest.approx(0.4) and loss.pause == pytest.approx(0.4)


def test_what_a_frozen_process_computes_after_its_trial_was_opened_elsewhere_is_no_loss(
    tmp_path: Path,
) -> None:
    log(tmp_path, 1, "10.0 open k", "10.1 a k", "25.0 b k", "25.1 c k")
    log(tmp_path, 2, "20.0 open k", "20.1 b k", "20.2 c k", "20.3 d k")
    seen = Evidence.read(tmp_path)
    assert seen.losses() == []
    assert seen.counts["k", "b"] == 2


def test_recovery_is_the_first_batch_that_nobody_had_computed(tmp_path: Path) -> None:
    log(tmp_path, 1, "10.0 open k", "10.1 a k", "10.2 b k")
    log(tmp_path, 2, "20.0 open k", "20.1 b k", "20.2 c k")
    seen = Evidence.read(tmp_path)
    assert seen.key_of(1, 10.15) == "k" and seen.key_of(1, 9.0) is None
    assert seen.progress("k", after=10.5, since=10.5) == 20.2
    assert seen.progress("k", after=20.3, since=20.3) is None
    assert seen.progress("k", after=10.05, since=10.15) == 10.2, "a fault that process 1 outlived"


def test_work_goes_on_with_the_first_new_batch_of_a_new_process_on_any_trial(
    tmp_path: Path,
) -> None:
    log(tmp_path, 1, "10.0 open k", "10.1 a k", "10.2 b k")
    log(tmp_path, 2, "9.0 open m", "9.1 a m", "11.0 b m", "30.0 open k", "30.1 b k", "30.2 c k")
    log(tmp_path, 3, "20.0 open n", "20.1 a n")
    seen = Evidence.read(tmp_path)
    assert seen.work(after=10.5, since=10.5) == 20.1, "process 2 was there before"
    assert seen.progress("k", after=10.5, since=10.5) == 30.2, "the lost trial had to queue"
    assert seen.work(after=10.5, since=10.6) == 11.0, "a fault that process 2 outlived"


# The verdict


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study run to its end, with its witness."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "probe").mkdir()
    raw = campaign.study(epochs=1, seeds=1) | {"methods": ["gmp"]}
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOS_PROBE", str(folder / "probe"))
        walk(folder / "study.yaml", folder / "out")
    return folder


def judged(
    calm: Path, folder: Path, *, left: tuple[str, ...] = (), **change: Any
) -> list[verdict.Claim]:
    """The claims on a copy of the calm study that pretends to be a stage."""
    stage = SimpleNamespace(
        name="test",
        study=yaml.safe_load((calm / "study.yaml").read_text()),
        place=Folder(folder / "out"),
        faults=[],
        replaced=set(),
        failures=set(),
        changed={},
        rows_seen={},
        driver=SimpleNamespace(tracebacks=list),
    )
    vars(stage).update(change)
    seen, calm_seen = Evidence.read(folder / "probe"), Evidence.read(calm / "probe")
    return verdict.judge(stage, seen, Folder(calm / "out"), calm_seen, list(left))  # type: ignore[arg-type]


def one(folder: Path, pattern: str) -> Path:
    return next(path for path in sorted(folder.rglob(pattern)) if path.is_file())


def change_a_number(out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = one(out / "rows", "*.parquet")
    rows = pq.read_table(path)
    place = rows.column_names.index("test_loss")
    pq.write_table(
        rows.set_column(place, "test_loss", pa.array([rows["test_loss"][0].as_py() + 1e-12])), path
    )


def double_a_row(out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = one(out / "rows", "*.parquet")
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows]), path)


def leave_a_checkpoint(out: Path) -> None:
    (out / "checkpoints").mkdir(exist_ok=True)
    (out / "checkpoints/x.pt").touch()


BREAKS: dict[str, Callable[[Path], object]] = {
    "trials with rows identical": change_a_number,
    "rows doubled": double_a_row,
    "rows missing": lambda out: one(out / "rows", "*.parquet").unlink(),
    "rows of no trial": lambda out: (out / "rows/other.parquet").touch(),
    "artifacts identical": lambda out: one(out / "artifacts", "*.pt").unlink(),
    "checkpoints left": leave_a_checkpoint,
    "unfinished files left": lambda out: (out / "rows/.x.tmp").touch(),
    "files that are not of a study": lambda out: (out / "lease.json").touch(),
    "batches computed as": lambda out: _last_line(out, ""),
    "batches that the undisturbed run does not have": lambda out: _last_line(
        out, "1.0 00000000 somebody\n"
    ),
}


def _last_line(out: Path, line: str) -> None:
    """Replace the last thing the witness saw."""
    path = one(out.parent / "probe", "*.log")
    path.write_text(
        "".join(
            [
                *path.read_text().splitlines(keepends=True)[:-1],
                line and line.replace("somebody", _key(path)),
            ]
        )
    )


def _key(path: Path) -> str:
    return path.read_text().splitlines()[-1].split(" ", 2)[2]


def copied(calm: Path, folder: Path) -> Path:
    shutil.copytree(calm, folder, dirs_exist_ok=True)
    return folder


def test_an_undisturbed_study_passes(calm: Path, tmp_path: Path) -> None:
    claims = judged(calm, copied(calm, tmp_path))
    assert [claim.line for claim in claims if not claim.holds] == [
        "trials that went on after a fault: 0 of 0"  # a campaign that hit nothing has shown nothing
    ]


@pytest.mark.parametrize("claim", BREAKS)
def test_every_claim_can_fail(claim: str, calm: Path, tmp_path: Path) -> None:
    copied(calm, tmp_path)
    BREAKS[claim](tmp_path / "out")
    failed = [found.line for found in judged(calm, tmp_path) if not found.holds]
    assert any(line.startswith(claim) for line in failed), failed


def test_claims_on_processes_and_files_can_fail(calm: Path, tmp_path: Path) -> None:
    claims = judged(
        calm,
        copied(calm, tmp_path),
        left=("ray::RayTrial",),
        replaced={"a"},
        failures={"b"},
        changed={"c": "d"},
        driver=SimpleNamespace(tracebacks=lambda: ["driver1.log"]),
    )
    assert sum(not claim.holds for claim in claims) == 6
    assert "FAIL trial processes, drivers or actors left: 1\n       ray::RayTrial" in table.verdict(
        claims
    )


def test_a_loss_is_charged_to_the_checkpoint_that_was_damaged_before_the_trial_went_on(
    tmp_path: Path,
) -> None:
    log(tmp_path, 1, "10.0 open k", "10.1 a k", "10.2 b k")
    log(
        tmp_path, 2, "20.0 open k", "20.1 b k"
    )  # killed soon, and what process 1 had left was damaged
    log(tmp_path, 3, "30.0 open k", "30.1 a k", "30.2 b k")
    loss, _ = Evidence.read(tmp_path).losses()
    killed = fault("trial killed", 10.3, 1)
    damaged = fault("checkpoint damaged", 21.0, 2)
    too_late, another = (
        fault("checkpoint damaged", 31.0, 3),
        fault("checkpoint damaged", 22.0, 9, "other"),
    )
    stage: Any = SimpleNamespace(faults=[killed, damaged, another, too_late])
    assert verdict.damages(stage, loss) == [damaged]
    assert verdict.blame(stage, [loss]) == [(loss, damaged)]
    stage.faults = [killed, another, too_late]
    assert verdict.damages(stage, loss) == [] and verdict.blame(stage, [loss]) == [(loss, killed)]


def fault(kind: str, at: float, pid: int, key: str = "k") -> faults.Fault:
    return faults.Fault(faults.Planned(1, kind, 0.0, False, 0.0, 0.0), at, (pid,), (key,))


def test_a_loss_longer_than_a_checkpoint_interval_fails(calm: Path, tmp_path: Path) -> None:
    path = one(copied(calm, tmp_path) / "probe", "*.log")
    lines = [line.split(" ", 2) for line in path.read_text().splitlines()]
    opened = [index for index, line in enumerate(lines) if line[1] == "open"][-1]
    again = [line[1:] for line in lines[opened:]]
    spread = [f"{1e9 + 0.1 * number:.3f} {' '.join(rest)}\n" for number, rest in enumerate(again)]
    (tmp_path / "probe/99999.log").write_text("".join(f"2{line[1:]}" for line in spread))
    path.write_text("".join(f"{' '.join(line)}\n" for line in lines[:opened]) + "".join(spread))
    failed = [claim.line for claim in judged(calm, tmp_path) if not claim.holds]
    assert (
        "losses within one checkpoint interval of 0.5 s, and one for each damaged one: 0 of 1"
        in failed
    )


# Processes and the disk


def test_only_processes_of_the_campaign_are_ended() -> None:
    sleeps = [
        subprocess.Popen(["sleep", "60"], env={**os.environ, processes.MARK: mark})
        for mark in ("mine-1", "mine-12")
    ]
    try:
        while not (processes.marked("mine-1") and processes.marked("mine-12")):
            time.sleep(0.01)
        assert processes.end("mine-1") == []
        assert sleeps[0].wait() == -signal.SIGKILL
        assert sleeps[1].poll() is None
    finally:
        for sleep in sleeps:
            sleep.kill()
            sleep.wait()


def test_a_full_disk_takes_no_byte_and_a_freed_one_does(tmp_path: Path) -> None:
    disk = Disk.at(tmp_path / "disk", megabytes=2)
    if not disk.small:
        pytest.skip("no file system can be mounted here")
    try:
        disk.fill()
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (disk.path / "file").write_bytes(b"x")
        disk.free()
        (disk.path / "file").write_bytes(b"x")
    finally:
        release(tmp_path)
    assert f" {tmp_path}/" not in Path("/proc/self/mounts").read_text()


def test_a_memory_runs_out_and_comes_back_in_the_file_that_is_mounted(tmp_path: Path) -> None:
    def free() -> float:
        told = dict(re.findall(r"^(\w+): +(\d+) kB$", (tmp_path / "m").read_text(), re.MULTILINE))
        return int(told["MemAvailable"]) / int(told["MemTotal"])

    memory = Memory(tmp_path / "m")
    file, shares = (tmp_path / "m").stat().st_ino, [free()]
    memory.run_out()
    shares.append(free())
    memory.come_back()
    assert (tmp_path / "m").stat().st_ino == file
    assert [*shares, free()] == pytest.approx([0.5, 0.01, 0.5], abs=1e-3)
