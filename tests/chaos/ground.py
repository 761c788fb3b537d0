"""What a campaign stands on: a folder, a mark for its processes, an S3 server, and the end of all
of it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.chaos.disk import release
from tests.chaos.processes import MARK, end
from tests.chaos.undisturbed import ROOT, Undisturbed

log = logging.getLogger("chaos")


@dataclass
class Ground:
    """surroundings: the environment of all processes of the campaign. keep: whether the folder
    stays for the reader."""

    folder: Path
    mark: str
    surroundings: dict[str, str]
    calm: Undisturbed
    s3: Any
    keep: bool = True

    @classmethod
    @contextmanager
    def laid(cls, *, s3: bool) -> Iterator["Ground"]:
        """Set everything up, and take everything down again, whatever happens in between."""
        folder, mark = Path(tempfile.mkdtemp(prefix="chaos-")), uuid4().hex[:12]
        ground: Ground | None = None
        try:
            with _s3() if s3 else nullcontext() as server:
                surroundings = environment(folder, mark, server.env if server else {})
                calm = Undisturbed(folder, {**surroundings, MARK: surroundings[f"{MARK}_BESIDE"]})
                ground = cls(folder, mark, surroundings, calm, server)
                yield ground
        finally:
            if ground:
                ground.calm.stop()
            end(mark)
            release(folder)
            if ground and not ground.keep:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                log.info("logs are in %s", folder)


def _s3() -> Any:
    from tests.s3_server import running

    return running()


def environment(folder: Path, mark: str, more: dict[str, str]) -> dict[str, str]:
    """The environment of all processes of a campaign, which also marks them."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "TUNE_", "AWS_"))
    }
    return {
        **plain,
        MARK: mark,
        f"{MARK}_BESIDE": f"{mark}-beside",
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid4().hex + uuid4().hex,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else workers starve beside whatever else this machine does
        "PRUNING_DATA_CACHE": os.environ.get("PRUNING_DATA_CACHE", str(folder / "data")),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        # so that of outages of 1 to 8 s some are waited for, and some stop the study
        "PRUNING_STORE_PATIENCE": "4",
        **more,
    }
