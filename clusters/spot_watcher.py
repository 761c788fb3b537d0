"""Runs Ray on a spot worker and ends it in good order when the cloud announces that the machine
will be taken away.

Ray itself does not read the announcements. SIGTERM to `ray start --block` marks the node as being
preempted: its trials checkpoint and move to other nodes, and that does not count as a failure of
theirs. Needs nothing but Python:

    python spot_watcher.py --cloud aws --then 'sudo shutdown -h +5' -- ray start --address=HEAD:6379
    --block
"""

import argparse
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress

PLACES = {"aws": "http://169.254.169.254", "gcp": "http://metadata.google.internal"}
EVERY = {"aws": 5.0, "gcp": 1.0}  # seconds; AWS announces two minutes ahead, GCP thirty seconds
PATIENCE = 2.0  # seconds for one answer


def fetch(url: str, headers: dict[str, str], *, method: str = "GET") -> str | None:
    """The body of an answer; None where the service says that there is nothing (404).

    Raises:
        OSError: no answer, or another refusal.
    """
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def aws_notice(place: str) -> str | None:
    """What AWS announces, e.g. '{"action": "terminate", "time": "2026-01-01T12:00:00Z"}', by
    IMDSv2; None: nothing.

    The earlier rebalance recommendation is not acted upon: most such instances live on, and a trial
    loses no more than the step it is in.

    Raises:
        OSError: the metadata service does not answer.
    """
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = fetch(f"{place}/latest/api/token", lifetime, method="PUT")
    return fetch(
        f"{place}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token or ""}
    )


def gcp_notice(place: str) -> str | None:
    """What GCP announces: that the instance is preempted, or ended for a maintenance of its host;
    None: nothing.

    Raises:
        OSError: the metadata service does not answer.
    """
    for name, value in (
        ("preempted", "TRUE"),
        ("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE"),
    ):
        found = fetch(f"{place}/computeMetadata/v1/instance/{name}", {"Metadata-Flavor": "Google"})
        if found is not None and found.strip() == value:
            return f"{name} = {value}"
    return None


def watch(command: list[str], notice: Callable[[], str | None], *, every: float) -> int:
    """Run a command until it ends, with SIGTERM on the first notice; returns its exit code.

    SIGTERM and SIGINT to this process are handed on. A metadata service that does not answer is no
    notice.

    Args:
        notice: what is announced, None if nothing; may raise OSError.
        every: seconds between two looks.
    """
    running = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: running.send_signal(received))
    silent = False
    while running.poll() is None:
        try:
            announced, silent = notice(), False
        except OSError as error:
            if not silent:
                say(
                    f"the metadata service does not answer ({error}); looking again every "
                    f"{every:g} s"
                )
            announced, silent = None, True
        if announced:
            say(f"this machine will be taken away: {announced}; ending Ray in good order")
            running.send_signal(signal.SIGTERM)
            break
        wait(running, every)
    return running.wait()


def wait(running: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a process ends, at most so long."""
    with suppress(subprocess.TimeoutExpired):
        running.wait(timeout=seconds)


def say(text: str) -> None:
    """One line with the time, for the node's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} spot_watcher: {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code of the command that was run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cloud", choices=sorted(PLACES), required=True, help="whose announcements to read"
    )
    parser.add_argument(
        "--metadata", metavar="URL", help="the metadata service, if it is elsewhere"
    )
    parser.add_argument(
        "--every", metavar="SECONDS", type=float, help="time between two looks (aws 5, gcp 1)"
    )
    parser.add_argument(
        "--then", metavar="COMMAND", help="a shell command to run when the command has ended"
    )
    parser.add_argument("command", nargs="+", help="what to run, after --")
    options = parser.parse_args(arguments)
    place, read = (
        options.metadata or PLACES[options.cloud],
        {"aws": aws_notice, "gcp": gcp_notice}[options.cloud],
    )
    code = watch(options.command, lambda: read(place), every=options.every or EVERY[options.cloud])
    say(f"'{options.command[0]}' ended with code {code}")
    if options.then:
        subprocess.run(options.then, shell=True, check=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
