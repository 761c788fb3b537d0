"""A small file system that can be filled up and freed again."""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """A folder on a file system of its own, or a plain folder where none can be mounted."""

    path: Path
    small: bool

    @classmethod
    def at(cls, path: Path, megabytes: int) -> "Disk":
        """Mount a file system in memory at `path`, which needs root; else it is a plain folder that
        cannot be full."""
        path.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chaos", str(path)]
        try:
            mounted = subprocess.run(words, capture_output=True).returncode == 0
        except FileNotFoundError:
            mounted = False
        return cls(path, mounted)

    def fill(self) -> None:
        """Leave no byte free."""
        assert self.small, "only a disk of our own is filled"
        place = os.open(self.path / "ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        os.write(place, bytes(size))
        finally:
            os.close(place)

    def free(self) -> None:
        """Give the room back."""
        (self.path / "ballast").unlink(missing_ok=True)


def release(path: Path) -> None:
    """Unmount whatever is mounted below a folder."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split(" ")[1]
        if place.startswith(f"{path}/"):
            subprocess.run(["umount", "--lazy", place], capture_output=True)
