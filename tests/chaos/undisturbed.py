"""The same study without faults and without Ray: trial after trial in one process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Undisturbed:
    """The run that a campaign is compared with, at the lowest priority beside it.

    out: its study directory. probe: where its witness writes.
    """

    def __init__(self, folder: Path, surroundings: Mapping[str, str]) -> None:
        self.out, self.probe = folder / "undisturbed", folder / "undisturbed-probe"
        self.probe.mkdir()
        self._environment = {**surroundings, "CHAOS_PROBE": str(self.probe)}
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, study_file: Path) -> None:
        """Begin, unless it is under way; trials that are done already are not run again."""
        if self._running and self._running.poll() is None:
            return
        words = [
            "nice",
            "-n",
            "19",
            sys.executable,
            str(Path(__file__)),
            str(study_file),
            str(self.out),
        ]
        self._running = subprocess.Popen(
            words, env=dict(self._environment), stdin=subprocess.DEVNULL
        )

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            RuntimeError: it failed.
        """
        if self._running and self._running.poll() is None:
            with suppress(OSError):  # now it is all that is left to do; only root may say so
                os.setpriority(os.PRIO_PROCESS, self._running.pid, 0)
        if self._running and (code := self._running.wait()):
            raise RuntimeError(f"the undisturbed run ended with {code}")

    def stop(self) -> None:
        """End it at once, if it runs."""
        if self._running and self._running.poll() is None:
            self._running.kill()
            self._running.wait()


def walk(study_file: Path, out: Path) -> None:
    """Run all trials of a study file into a study directory."""
    from sweeps.planning.plan import make_plan
    from sweeps.study_file.study import build_study
    from sweeps.study_file.study_reader import read_study_file
    from trainables.environment import Environment
    from trainables.trial import Trial

    spec = build_study(read_study_file(study_file), where=study_file.name)
    for trial in make_plan(spec).trials:
        Trial(trial.spec, Environment(store=str(out))).run()


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    walk(Path(sys.argv[1]), Path(sys.argv[2]))
