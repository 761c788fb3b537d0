"""The token by which workers know the driver's study directory from another one of its name."""

from pathlib import Path

import pytest

from trainables.storage import launch_token as launch_tokens
from trainables.storage.launch_token import launch_token, sees_launch
from trainables.storage.store import Store


def test_who_sees_the_same_directory_sees_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_tokens, "SECONDS", 0.2)
    store, other = Store.at(tmp_path / "driver"), Store.at(tmp_path / "other-machine")
    with launch_token(store) as first:
        assert sees_launch(store, first) and not sees_launch(other, first)
    assert not sees_launch(store, first), "the launch has ended"
    assert store.list("launches") == []


def test_the_token_of_a_killed_driver_is_no_longer_seen_in_the_next_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_tokens, "SECONDS", 0.0)
    store = Store.at(tmp_path)
    store.write("launches/old", b"")
    with launch_token(store) as token:
        assert sees_launch(store, token) and not sees_launch(store, "old")
        assert store.list("launches") == [f"launches/{token}"]
