"""What is said while a data set is prepared: a line every few seconds on stderr, none where it is
fast."""

import sys
import time

SECONDS = 5.0  # between two lines, and before the first


class PreparingProgress:
    """Counts the images of one pass over a data set and says how far it is."""

    def __init__(self, what: str, total: int, done: int = 0, *, shown: bool = True) -> None:
        """Begin a pass.

        Args:
            what: what is being done, such as "reading 'flowers'".
            total: images of the pass.
            done: of which an earlier process has done so many.
            shown: whether anything is to be said.
        """
        self.what, self.total, self.done, self.shown = what, total, done, shown
        self._begun = self._said = time.monotonic()
        self._first = done

    def add(self, images: int) -> None:
        """So many more are done."""
        self.done += images
        now = time.monotonic()
        if self.shown and now - self._said >= SECONDS and self.done < self.total:
            self._said = now
            rate = (self.done - self._first) / (now - self._begun)
            left = (self.total - self.done) / rate if rate else 0
            print(
                f"{self.what}: {self.done:,} of {self.total:,} images, {rate:,.0f} a second, "
                f"about {_duration(left)} left",
                file=sys.stderr,
                flush=True,
            )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
