"""Files that a network disk does not list yet: where they are waited for, and for how long.

Covers: trainables/storage/file_system.py.
"""

import time
from pathlib import Path

import pytest

from trainables.storage import file_system, visibility
from trainables.storage.visibility import LAG_SECONDS, lag_seconds, wait_until_seen

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /home nfs4 rw,acdirmax=60 0 0
/dev/fuse /home/me/My\\040Drive fuse.drive rw 0 0
/dev/sdb1 /home/me/local xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("uri", "seconds"),
    [
        ("/studies/full", 0),
        ("/tmp/full", 0),
        ("/home/me/full", LAG_SECONDS),
        ("/home", LAG_SECONDS),
        ("/homework/full", 0),
        ("/home/me/local/full", 0),
        ("/home/me/My Drive/full", LAG_SECONDS),
        ("s3://bucket/full", 0),
        ("gs://bucket/full", 0),
    ],
)
def test_only_disks_of_the_network_lag(
    uri: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNING_STORE_LAG", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda path, **how: MOUNTS)
    file_system.find_file_system.cache_clear()
    try:
        assert lag_seconds(uri) == seconds
    finally:
        file_system.find_file_system.cache_clear()


def test_where_the_system_does_not_say_a_disk_may_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **how: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.delenv("PRUNING_STORE_LAG", raising=False)
    monkeypatch.setattr(Path, "read_text", refuse)
    file_system.find_file_system.cache_clear()
    assert lag_seconds("/studies") == LAG_SECONDS
    file_system.find_file_system.cache_clear()
    monkeypatch.setenv("PRUNING_STORE_LAG", "3.5")
    assert lag_seconds("s3://bucket") == lag_seconds("/studies") == 3.5


def test_it_is_waited_for_with_growing_pauses_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    assert wait_until_seen(lambda: "seen" if now[0] > 8 else None, 30) == "seen"
    assert pauses[:3] == [0.1, 0.2, 0.4] and max(pauses) <= visibility.LONGEST_PAUSE
    pauses.clear()
    assert wait_until_seen(lambda: None, 30) is None
    assert abs(sum(pauses) - 30) < 1e-9
    assert wait_until_seen(lambda: None, 0) is None, "a disk that does not lag is asked once"
