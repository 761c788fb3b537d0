"""What Ray Tune must not pickle: objects of the driver that share threads, locks and each other."""


class NotPickled:
    """Pickled without its contents.

    Before it runs anything, Tune pickles the callbacks, the searcher and the scheduler that it is
    given into a file for `Tuner.restore`. That is never used here, since a launch continues from
    the study directory, and locks and threads cannot be pickled.
    """

    def __getstate__(self) -> dict[str, object]:
        """Nothing of the object."""
        return {}
