"""Why a Ray cluster cannot be reached, or none started, in one line that says what to do."""

import os
import re
import socket
from pathlib import Path

from pruning.user_error import UserError

CONNECT_SECONDS = 5.0  # that a cluster may take to answer; Ray by itself tries for minutes


def check_answer(place: str, *, from_variable: bool = False) -> None:
    """Pass if something answers at an address HOST:PORT, or ray://HOST:PORT; other ways of naming a
    cluster pass.

    Args:
        from_variable: whether RAY_ADDRESS names it, and not the command.

    Raises:
        UserError: nothing does.
    """
    if not (parts := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d{1,5})", place)):
        return
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:  # the second for a port above 65535
        reason = getattr(error, "strerror", None) or error
        named = f"'{place}' ({reason})"
        if from_variable:
            raise UserError(
                f"no Ray cluster answers at {named}, which the environment variable RAY_ADDRESS "
                "names: unset it, or give --address local to use this machine"
            ) from None
        raise UserError(
            f"no Ray cluster answers at {named}: check the address, start one there "
            "with ray start --head, or leave out --address to use this machine"
        ) from None


def explain_connection_error(error: Exception, place: str) -> str:
    """Why Ray cannot be used, and what to do; `place` is empty where it was to be started here."""
    reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
    if versions := re.search(
        r"Version mismatch.* Ray: (\S+) Python: (\S+) .* Ray: (\S+) Python: (\S+)", reason
    ):
        there, here = (f"Ray {versions[i]} and Python {versions[i + 1]}" for i in (1, 3))
        return (
            f"the Ray cluster at '{place}' has {there}, but this machine has {here}: "
            "install the same on both"
        )
    if place:
        return (
            f"cannot use the Ray cluster at '{place}': {reason[:300]}; "
            "an address is HOST:PORT, as ray start prints it"
        )
    if _is_of_home(error, reason):
        advice = "set HOME to a folder that you can write to"
    elif isinstance(error, OSError):
        advice = "set RAY_TMPDIR to a folder with room, open to you"
    else:
        advice = "name a running cluster by --address, or try again"
    return f"cannot start Ray on this machine: {reason[:300]}; {advice}"


def _is_of_home(error: Exception, reason: str) -> bool:
    """Whether Ray failed because there is no home folder that it can use."""
    path = str(getattr(error, "filename", None) or "")
    home = os.path.expanduser("~")
    return "home directory" in reason or (bool(path) and f"{path}/".startswith(f"{home}/"))


def check_owner(address: str) -> None:
    """Pass if the cluster that was found on this machine is this user's, or nobody can tell.

    Raises:
        UserError: it is another user's.
    """
    port = f"--gcs_server_port={address.rpartition(':')[2]}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            owner = folder.stat().st_uid
        except OSError:  # it has ended
            continue
        if owner != os.getuid() and port in words and words[0].endswith(b"gcs_server"):
            raise UserError(
                f"the Ray cluster on this machine at {address} belongs to user "
                f"'{_name_user(owner)}': give --address local to start one of your own, or "
                f"--address {address} to use that one"
            )


def _name_user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
