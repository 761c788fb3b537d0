"""Images: read from where they lie, prepared once, served as batches on the device."""

from trainables.data.prepared import prepare

__all__ = ["prepare"]
