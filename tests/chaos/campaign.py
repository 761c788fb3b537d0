"""Kill anything, lose nothing: `python tests/chaos/campaign.py --faults 100 --seed 0`.

Runs a real study on digits, on several Ray nodes on this machine, first in a folder on a small disk
and then in a local S3 bucket, and meanwhile kills trial processes, nodes and the driver, freezes
nodes, takes their memory, damages checkpoints, fills the disk and cuts the store off. Then it
compares everything with an undisturbed run. Kinds, order and moments of the faults come from the
seed alone; what exactly they meet does not. Needs Linux, and root for the full disk and memory.
"""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.chaos import faults, table, verdict
from tests.chaos.disk import Disk
from tests.chaos.faults import Planned
from tests.chaos.ground import Ground
from tests.chaos.nodes import Nodes
from tests.chaos.places import Bucket, Folder
from tests.chaos.stage import Stage, Stalled
from tests.chaos.witness import Evidence

log = logging.getLogger("chaos")
MEGABYTES = 128  # of the small disk: some ten times what a study of a few seeds takes


def study(epochs: int, seeds: int) -> dict[str, Any]:
    """The study that a campaign runs: five kinds of trials, of several seconds each."""
    return {
        "name": "chaos",
        "dataset": "digits",
        "model": "tests.chaos.probe:net",
        "recipe": {
            "epochs": epochs,
            "batch": 64,
            "lr": 0.05,
            "precision": "fp32",
            "augment": "crop",
        },
        "retrain": {"epochs": epochs},
        "methods": [
            "gmp",
            "l1_filter",
            "sparsegpt",
            {"lottery_ticket": {"levels": 3, "rewind_to": 1}},
        ],
        "sparsities": [0.8],
        "seeds": list(range(seeds)),
        "checkpoint_seconds": 0.5,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="campaign.py", description="Run a study under faults and check what it left."
    )
    made.add_argument("--faults", type=int, default=100, metavar="N", help="how many in all (100)")
    made.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of their kinds and moments (0)"
    )
    made.add_argument("--kinds", metavar="A,B", help=f"only these: {', '.join(faults.KINDS)}")
    made.add_argument(
        "--stores", default="local,s3", metavar="A,B", help="where the study lies (local,s3)"
    )
    made.add_argument("--epochs", type=int, default=30, metavar="N", help="of each training (30)")
    made.add_argument(
        "--seeds",
        type=int,
        default=2,
        metavar="N",
        help="of the study at first; it grows if need be (2)",
    )
    made.add_argument(
        "--workers", type=int, default=2, metavar="N", help="nodes with one CPU each (2)"
    )
    made.add_argument("--log", metavar="FILE", help="write what is printed there too")
    made.add_argument("--markdown", metavar="FILE", help="write the table there too")
    made.add_argument(
        "--keep", action="store_true", help="keep the folder with all logs also when all is well"
    )
    return made


def plan(options: argparse.Namespace) -> dict[str, list[faults.Planned]]:
    """The faults of each store, from the options alone; a quarter falls to S3 where both are asked
    for."""
    stores = options.stores.split(",")
    shares = {"local": faults.LOCAL, "s3": faults.REMOTE}
    wanted = options.kinds.split(",") if options.kinds else list(faults.KINDS)
    if unknown := [name for name in [*stores, *wanted] if name not in (*shares, *faults.KINDS)]:
        raise SystemExit(f"error: there is no store or kind of fault '{unknown[0]}'")
    counts = dict.fromkeys(stores, options.faults)
    if len(stores) > 1:
        counts = {"local": options.faults - options.faults // 4, "s3": options.faults // 4}
    planned = {}
    for name, count in counts.items():
        chosen = {kind: share for kind, share in shares[name].items() if kind in wanted}
        if not chosen:
            raise SystemExit(
                f"error: none of these faults happens to a study in {name}: {options.kinds}; see "
                "--stores"
            )
        planned[name] = faults.draw(options.seed, count, chosen)
    return planned


def play(
    name: str, planned: list[Planned], options: argparse.Namespace, ground: Ground
) -> tuple[Stage, list[str]]:
    """Run one stage to its end; returns it, with what was left of its processes."""
    folder = ground.folder / name
    probe = folder / "probe"
    probe.mkdir(parents=True)
    surroundings = {**ground.surroundings, "CHAOS_PROBE": str(probe)}
    if name == "local":
        surroundings |= {"CHAOS_LAG": str(folder / "lag"), "PRUNING_STORE_LAG": "30"}
    seeds = options.seeds or max(2, len(planned) // 10)
    disk = Disk.at(folder / "disk", MEGABYTES) if name == "local" else None
    if disk and not disk.small:
        planned = [fault for fault in planned if fault.kind not in faults.MOUNTED]
        log.info(
            "no file system can be mounted here: the faults %s are left out",
            ", ".join(f"'{kind}'" for kind in faults.MOUNTED),
        )
    place = (
        Folder(disk.path / "out")
        if disk
        else Bucket(ground.s3, ground.s3.create_bucket("studies"), "chaos")
    )
    own_memory = disk is not None and disk.small
    with Nodes.started(folder, surroundings, own_memory=own_memory) as nodes:
        stage = Stage(
            name=name,
            study=study(options.epochs, seeds),
            folder=folder,
            mark=ground.mark,
            workers=options.workers,
            nodes=nodes,
            place=place,
            environment=surroundings,
            disk=disk,
            proxy=ground.s3.proxy if ground.s3 else None,
        )
        log.info("%s: %d faults, a study of %d seeds in %s", name, len(planned), seeds, place.uri)
        stage.write()
        ground.calm.start(stage.file)
        stage.run(planned)
        left = stage.close()
        left += nodes.end()
    return stage, left


def run(options: argparse.Namespace) -> int:
    """Run a campaign and print its table and verdict; returns the exit code."""
    planned = plan(options)
    total = sum(map(len, planned.values()))
    began, good = time.monotonic(), False
    with Ground.laid(s3="s3" in planned) as ground:
        log.info("campaign of %d faults from seed %d, in %s", total, options.seed, ground.folder)
        try:
            good = _run(options, planned, ground)
        except (Stalled, RuntimeError) as error:
            log.info("given up: %s", error)
        ground.keep = options.keep or not good
    log.info(
        "%s (seed %d, %.0f s)",
        "ALL HOLDS" if good else "NOT ALL HOLDS",
        options.seed,
        time.monotonic() - began,
    )
    return 0 if good else 1


def _run(options: argparse.Namespace, planned: dict[str, list[Planned]], ground: Ground) -> bool:
    stages = []
    for name, listed in planned.items():
        stages.append(play(name, listed, options, ground))
        ground.calm.start(stages[-1][0].file)  # by now the study may have more seeds
    log.info("waiting for the undisturbed run")
    ground.calm.finish()
    for stage, _ in stages:
        ground.calm.start(stage.file)
        ground.calm.finish()
    calm = Evidence.read(ground.calm.probe)
    all_hits, claims = [], []
    for stage, left in stages:
        seen = Evidence.read(stage.probe)
        all_hits += verdict.hits(stage, seen)
        judged = verdict.judge(stage, seen, Folder(ground.calm.out), calm, left)
        claims += judged
        codes = ", ".join(f"{code} ({n}x)" for code, n in sorted(stage.driver.codes.items()))
        log.info("\n%s: drivers ended with %s\n%s", stage.name, codes, table.verdict(judged))
    told = table.markdown(
        table.lines([fault for stage, _ in stages for fault in stage.faults], all_hits)
    )
    log.info("\n%s\n", told)
    if options.markdown:
        Path(options.markdown).parent.mkdir(parents=True, exist_ok=True)
        Path(options.markdown).write_text(told + "\n")
    return all(claim.holds for claim in claims)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 130 if it is interrupted."""
    options = parser().parse_args(arguments)
    streams: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if options.log:
        Path(options.log).parent.mkdir(parents=True, exist_ok=True)
        streams.append(logging.FileHandler(options.log, mode="w"))
    for stream in streams:
        stream.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(stream)
    log.setLevel(logging.INFO)

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return run(options)
    except KeyboardInterrupt:
        log.info("interrupted; everything has been ended")
        return 130


if __name__ == "__main__":
    sys.exit(main())
