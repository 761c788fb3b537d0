"""States on disk: the newest valid one is found, whatever happened to the others."""

from pathlib import Path

import pytest
import torch

from trainables.storage import checkpoints
from trainables.storage.local_disk import Disk
from trainables.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def test_the_newest_by_recorded_number_is_found(store: Store) -> None:
    for number in (2, 10, 9):
        checkpoints.publish_state(
            store, "checkpoints/a", "step", number, {"n": number, "w": torch.full((3,), number)}
        )
    found = checkpoints.read_newest_state(store, "checkpoints/a", "step")
    assert (
        found is not None and "step-000010-" in found[0] and found[1]["w"].tolist() == [10, 10, 10]
    )
    assert checkpoints.read_newest_state(store, "checkpoints/a", "step", 9)[1]["n"] == 9  # type: ignore[index]
    assert checkpoints.read_newest_state(store, "checkpoints/a", "epoch") is None
    assert (
        checkpoints.read_newest_state(store, "checkpoints", "step") is None
    )  # that of another key is not ours
    assert checkpoints.list_state_numbers(store, "checkpoints/a", "step") == {2, 9, 10}


def test_the_last_one_is_found_where_the_listing_of_a_network_disk_lags(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the machine where a trial goes on, the folder may look empty, or as it was before."""
    for number in (1, 2):
        path = checkpoints.publish_state(store, "c", "step", number, {"n": number})
    listed: list[str] = []
    monkeypatch.setattr(Disk, "list", lambda disk, folder: listed)
    assert checkpoints.read_newest_state(store, "c", "step") == (path, {"n": 2})
    assert checkpoints.read_newest_state(store, "c", "epoch") is None
    checkpoints.delete_states(store, "c", "step", 2)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert checkpoints.read_newest_state(store, "c", "step") is None


def test_a_file_that_names_anything_else_as_the_last_one_is_passed_over(store: Store) -> None:
    path = checkpoints.publish_state(store, "c", "step", 1, {"n": 1})
    other = checkpoints.publish_state(store, "d", "step", 2, {"n": 2})
    for named in (other, "../c", "", "c/step-000009-0123456789abcdef.pt\0", "\udcff"):
        store.write("c/newest", named.encode(errors="surrogateescape"))
        found = checkpoints.read_newest_state(store, "c", "step")
        assert found == (path, {"n": 1})


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "unfinished"])
def test_a_damaged_one_is_passed_over_with_a_warning(store: Store, damage: str) -> None:
    for number in (1, 2):
        checkpoints.publish_state(store, "c", "step", number, {"n": number})
    newest = next(Path(store.uri, "c").glob("step-000002*"))
    content = newest.read_bytes()
    if damage == "truncate":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        newest.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "empty":
        newest.write_bytes(b"")
    else:
        newest.rename(newest.with_name(f".{newest.name}.abc.tmp"))
    if damage == "unfinished":
        found = checkpoints.read_newest_state(store, "c", "step")
    else:
        with pytest.warns(UserWarning, match="does not match its checksum"):
            found = checkpoints.read_newest_state(store, "c", "step")
    assert found is not None and found[1]["n"] == 1


def test_a_state_that_is_not_accepted_is_passed_over(store: Store) -> None:
    for number in (1, 2):
        checkpoints.publish_state(store, "c", "step", number, {"format": number})
    with pytest.warns(UserWarning, match="written by another version"):
        found = checkpoints.read_newest_state(
            store, "c", "step", accept=lambda saved: saved["format"] == 1
        )
    assert found is not None and found[1] == {"format": 1}


def test_older_states_are_dropped_but_not_those_to_keep_nor_later_ones(store: Store) -> None:
    paths = [
        checkpoints.publish_state(store, "c", "step", number, {"twin": twin})
        for number in range(5)
        for twin in (0, 1)
    ]
    checkpoints.delete_older_states(store, "c", "step", 3, keep=[paths[4], paths[7]])
    assert store.list("c", ".pt") == sorted([paths[4], paths[7], *paths[8:]])


def test_digest_sees_every_bit_and_no_layout() -> None:
    x = torch.randn(2, 3, 4, 4)
    same = x.clone().to(memory_format=torch.channels_last)
    assert checkpoints.digest_tensors({"w": x}) == checkpoints.digest_tensors({"w": same})
    other = x.clone()
    other[0, 0, 0, 0] = torch.nextafter(other[0, 0, 0, 0], torch.tensor(9.0))
    assert (
        checkpoints.digest_tensors({"w": other})
        != checkpoints.digest_tensors({"w": x})
        != checkpoints.digest_tensors({"v": x})
    )
