"""The exit codes of the two commands, as `--help` lists them."""

from trainables.command_line import DONE, INTERRUPTED, USER_ERROR

__all__ = ["DONE", "FAILED", "INTERRUPTED", "STOPPED", "USER_ERROR"]

FAILED = 1  # some trials failed
STOPPED = 3  # the study had to stop: its directory was lost, Ray has ended or does not answer
