"""Where images live, chosen by what fits."""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from trainables.data import image_mode
from trainables.data.image_mode import ImageBytes, Room, choose_image_mode, measure_room

GB = 10**9
SMALL = ImageBytes(resident=GB // 5, decoded=GB // 5, decoding=0)
ROOM = Room(device=16 * GB, free=16 * GB, node=64 * GB, disk=100 * GB)


@pytest.mark.parametrize(
    ("sizes", "room", "augment", "mode", "reason"),
    [
        (SMALL, ROOM, "crop_flip", "resident", "0.20 GB on the device, of which a trial has 16.00"),
        (SMALL, Room(16 * GB, 16 * GB, 64 * GB, GB, sharing=32), "crop", "mapped", "too much for"),
        (SMALL, Room(16 * GB, GB // 2, 64 * GB, GB), "none", "mapped", "trial has 0.50 GB"),
        (SMALL, ROOM, "resized_crop", "mapped", "resized_crop is made image by image"),
        (SMALL, ROOM, ("crop", "random_erasing"), "mapped", "crop, random_erasing is made image"),
        (ImageBytes(20 * GB, 20 * GB, 0), ROOM, "crop", "mapped", "20.00 GB decoded, once for all"),
        (ImageBytes(20 * GB, 60 * GB, 0), ROOM, "crop", "streamed", "60.00 GB decoded for the mac"),
        (
            ImageBytes(GB, 20 * GB, 20 * GB),
            Room(GB, GB, 64 * GB, 30 * GB),
            "resized_crop",
            "streamed",
            "20.00 GB to decode for the disk's free 30.00 GB",
        ),
    ],
)
def test_what_fits_is_chosen_and_said(
    sizes: ImageBytes, room: Room, augment: object, mode: str, reason: str
) -> None:
    chosen, why = choose_image_mode("auto", sizes, room, [augment])  # type: ignore[list-item]
    assert chosen == mode
    assert why.startswith(f"images {mode}: ") and reason in why and "\n" not in why


def test_one_recipe_that_needs_single_images_is_enough() -> None:
    assert choose_image_mode("auto", SMALL, ROOM, ["crop", "randaugment"])[0] == "mapped"
    assert choose_image_mode("auto", SMALL, ROOM, ["crop", "none"])[0] == "resident"


@pytest.mark.parametrize("asked", ["resident", "mapped", "streamed"])
def test_what_is_asked_for_is_taken(asked: str) -> None:
    nothing = Room(0, 0, 0, 0)
    mode, why = choose_image_mode(asked, SMALL, nothing, ["crop"])  # type: ignore[arg-type]
    assert (mode, why) == (asked, f"images {asked}: asked for")


def test_resident_images_cannot_be_augmented_one_by_one() -> None:
    with pytest.raises(UserError, match="images: resident needs augment none, crop or crop_flip"):
        choose_image_mode("resident", SMALL, ROOM, ["crop", ("resized_crop", "randaugment")])


def test_the_room_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = measure_room("cpu", tmp_path, sharing=3)
    assert room.device == room.free == room.node > 10**8 and room.sharing == 3 and room.disk > 0
    limit = tmp_path / "limit"
    limit.write_text("123456\n")
    monkeypatch.setattr(image_mode, "LIMITS", (str(tmp_path / "missing"), str(limit)))
    assert measure_room("cpu", tmp_path).node == 123456
    limit.write_text("max\n")
    assert measure_room("cpu", tmp_path).node > 10**8
