"""A study directory as a process sees it that must change nothing there."""

from trainables.storage.store import Store


class ReadingStore(Store):
    """The files of a study directory, see `Store`; what is written or deleted is left as it is,
    without a word."""

    def write(self, path: str, content: bytes) -> None:
        """Nothing."""

    def delete(self, path: str) -> None:
        """Nothing."""

    def delete_abandoned_files(self) -> int:
        """Nothing; 0."""
        return 0


def open_store(uri: str, *, writes: bool) -> Store:
    """The study directory at a path or URI, for a process that writes to it or for one that does
    not."""
    return Store.at(uri) if writes else ReadingStore.at(uri)
