"""The memory of a machine as one node of the cluster sees it: a /proc/meminfo of its own, by which
it can run out."""

import re
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Memory:
    """A file for a node to have in place of /proc/meminfo; half of the memory is free at first."""

    path: Path

    def __post_init__(self) -> None:
        self.path.touch()
        self.come_back()

    def run_out(self) -> None:
        """Hardly anything is free any more."""
        self._write(0.01)

    def come_back(self) -> None:
        """Half of the memory is free."""
        self._write(0.5)

    def _write(self, free: float) -> None:
        text = MEMINFO.read_text()
        total = re.search(r"^MemTotal: +(\d+) kB$", text, re.MULTILINE)
        assert total, f"{MEMINFO} does not say how much memory there is"
        for name in ("MemFree", "MemAvailable"):
            line = f"{name}: {int(free * int(total[1])):>15} kB"
            text = re.sub(rf"^{name}: .*$", line, text, flags=re.MULTILINE)
        with self.path.open("r+") as file:  # the same file, as it is mounted
            file.write(text)
            file.truncate()
