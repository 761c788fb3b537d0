"""JPEG files decoded by torchvision: the pixels of Pillow, or None."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data import fast_jpeg
from trainables.data.fast_jpeg import decode_plain_jpeg


def encode(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def draw(height: int, width: int, *, mode: str = "RGB") -> Image.Image:
    generator = np.random.default_rng(height * width)
    small = generator.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def decode_by_pillow(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (64, 31), (375, 500)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30},
        {"quality": 95, "subsampling": 0},
        {"quality": 90, "subsampling": 1},
        {"progressive": True},
        {"optimize": True, "restart_marker_blocks": 2},
    ],
)
def test_the_pixels_are_those_of_pillow(
    mode: str, size: tuple[int, int], options: dict[str, object]
) -> None:
    encoded = encode(draw(*size, mode=mode), **options)
    found = decode_plain_jpeg(encoded)
    assert found is not None and found.dtype == np.uint8 and found.flags.writeable
    assert np.array_equal(found, decode_by_pillow(encoded))


@pytest.mark.parametrize("quality", range(5, 100, 5))
def test_noise_of_any_quality_is_decoded_as_by_pillow(quality: int) -> None:
    noise = np.random.default_rng(quality).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    encoded = encode(Image.fromarray(noise), quality=quality)
    assert np.array_equal(decode_plain_jpeg(encoded), decode_by_pillow(encoded))


def test_what_is_not_plain_is_left_to_pillow() -> None:
    image = draw(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_plain_jpeg(encode(image, exif=exif)) is None
    assert decode_plain_jpeg(encode(image.convert("CMYK"))) is None
    stream = io.BytesIO()
    image.save(stream, "PNG")
    for other in (stream.getvalue(), b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\0\x0b\x0c", b"GIF89a"):
        assert decode_plain_jpeg(other) is None


def test_a_file_that_ends_too_early_is_left_to_pillow() -> None:
    encoded = encode(draw(100, 120), quality=95)
    for length in (10, 300, len(encoded) // 2, len(encoded) - 40):
        assert decode_plain_jpeg(encoded[:length]) is None


def test_where_the_decoders_differ_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(draw(20, 30))
    fast_jpeg._decoders_agree.cache_clear()
    honest = fast_jpeg._decode
    monkeypatch.setattr(fast_jpeg, "_decode", lambda *given: honest(*given) ^ 1)
    assert decode_plain_jpeg(encoded) is None
    monkeypatch.undo()
    fast_jpeg._decoders_agree.cache_clear()
    assert decode_plain_jpeg(encoded) is not None


def test_every_hundredth_image_of_cifar_10_is_as_before(shared_data: Path) -> None:
    import pyarrow.parquet as pq

    (path, *_) = sorted(shared_data.rglob("cifar10/**/test*.parquet"))
    images = pq.read_table(path).column(0).to_pylist()[::100]
    for image in images:
        found = decode_plain_jpeg(image["bytes"])
        if image["bytes"][:2] == b"\xff\xd8":
            assert np.array_equal(found, decode_by_pillow(image["bytes"]))
        else:
            assert found is None
