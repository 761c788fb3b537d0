"""Encoded images as pixels: turned, composed on white, refused where 8 bits do not hold them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pruning.user_error import UserError
from tests.trainables.data.parquet_images import draw_images, encode
from trainables.data.image_decoding import decode_image, encode_array, read_header

COLOUR = draw_images(1, (6, 4, 3), seed=1)[0]
GREY = draw_images(1, (6, 4), seed=2)[0]


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_pixels_are_as_they_were_saved(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    encoded = save(Image.fromarray(COLOUR), kind, **options)
    assert np.array_equal(decode_image(encoded, "here"), COLOUR)
    assert read_header(encoded, "here") == (6, 4, False, False, False)
    if kind != "WEBP":  # which knows no grey
        grey = save(Image.fromarray(GREY), kind)
        assert np.array_equal(decode_image(grey, "here"), GREY)
        assert read_header(grey, "here") == (6, 4, True, False, False)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_images_are_turned_as_their_exif_data_say(orientation, turn, kind) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    encoded = save(Image.fromarray(COLOUR), kind, exif=exif, **options)
    upright = turn(COLOUR)
    assert np.array_equal(decode_image(encoded, "here"), upright)
    header = read_header(encoded, "here")
    assert (header.height, header.width) == upright.shape[:2]
    assert header.turned == (orientation > 1)


def test_a_photograph_on_its_side_is_turned_as_a_viewer_does() -> None:
    left = np.zeros((16, 32, 3), dtype=np.uint8)
    left[:, :16] = 255  # bright at the left; turned by 90 degrees it is bright at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode_image(save(Image.fromarray(left), "JPEG", exif=exif, quality=95), "here")
    assert pixels.shape == (32, 16, 3) and pixels[:14].min() > 230 and pixels[18:].max() < 25


def test_damaged_exif_data_are_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    good = save(Image.fromarray(COLOUR), "JPEG", exif=exif)
    at = good.index(b"Exif\0\0") + 6
    damaged = good[:at] + b"\xff" * 20 + good[at + 20 :]
    assert read_header(damaged, "here")[:2] == (6, 4)
    assert decode_image(damaged, "here").shape == (6, 4, 3)


def compose(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """On white, in floating point."""
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def test_transparent_pixels_are_composed_on_white() -> None:
    alpha = np.array([[0, 255, 128, 3]] * 6, dtype=np.uint8)
    encoded = encode(Image.fromarray(np.dstack([COLOUR, alpha]), "RGBA"))
    pixels = decode_image(encoded, "here")
    assert np.abs(pixels - compose(COLOUR, alpha)).max() <= 1
    assert (pixels[:, 0] == 255).all() and np.array_equal(pixels[:, 1], COLOUR[:, 1])
    assert read_header(encoded, "here") == (6, 4, False, True, False)

    grey = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha)))
    pixels = decode_image(encode(grey), "here")
    assert np.abs(pixels - compose(GREY[..., None], alpha)[..., 0]).max() <= 1
    assert read_header(encode(grey), "here") == (6, 4, True, True, False)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode_image(save(image, kind), "here").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    seen_through = save(image, kind, transparency=0)
    assert decode_image(seen_through, "here").tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert read_header(seen_through, "here").transparent


def test_a_transparent_colour_of_a_png_without_palette_is_white() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert decode_image(save(image, "PNG", transparency=(1, 2, 3)), "here").tolist() == [
        [[255, 255, 255], [4, 5, 6]]
    ]


def test_cmyk_jpeg_becomes_rgb() -> None:
    flat = Image.new("RGB", (16, 16), (200, 40, 90))
    pixels = decode_image(save(flat.convert("CMYK"), "JPEG", quality=95), "here")
    assert np.abs(pixels.astype(int) - (200, 40, 90)).max() <= 4


def make_png(bits: int, kind: int, line: bytes) -> bytes:
    """A PNG file of one line and two columns, by the letter of the standard."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + line)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


DEEP = {
    "png grey": make_png(16, 0, bytes(4)),
    "png colour": make_png(16, 2, bytes(12)),
    "png grey with alpha": make_png(16, 4, bytes(8)),
    "png colour with alpha": make_png(16, 6, bytes(16)),
    "tiff 16": save(Image.fromarray(np.zeros((2, 2), dtype=np.uint16)), "TIFF"),
    "tiff 32": save(Image.fromarray(np.zeros((2, 2), dtype=np.int32)), "TIFF"),
    "tiff float": save(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF"),
    "pgm": b"P5 1 1 65535\n\0\0",
    "ppm": b"P6 1 1 65535\n" + bytes(6),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("read", [decode_image, read_header])
def test_more_than_8_bits_a_channel_are_refused(name, read) -> None:
    with pytest.raises(UserError, match="8 bits a channel, but 'file', row 3 has .*convert them"):
        read(DEEP[name], "'file', row 3")


def test_16_bit_colour_is_what_pillow_would_cut() -> None:
    """The reason why headers are read: without that, the image would seem to be one of 8 bits."""
    with Image.open(io.BytesIO(DEEP["png colour"])) as image:
        assert image.mode == "RGB"
    assert decode_image(make_png(8, 2, bytes(range(6))), "here").ravel().tolist() == [*range(6)]
    assert decode_image(make_png(4, 0, b"\x0f"), "here").tolist() == [[0, 255]]


@pytest.mark.parametrize("content", [None, b"", b"noise" * 9, encode(COLOUR)[:30]])
def test_what_is_no_image_is_refused(content) -> None:
    for read in (decode_image, read_header):
        with pytest.raises(UserError, match="cannot decode the image in 'file': ") as caught:
            read(content, "'file'")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pixels", [COLOUR, GREY[..., None]])
def test_an_array_survives_its_encoding(pixels: np.ndarray) -> None:
    assert np.array_equal(decode_image(encode_array(pixels), "here"), pixels.squeeze())


def test_an_image_of_too_many_pixels_is_to_be_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)  # 6 x 4 pixels are more than twice as many
    rule = "the image in here has more than 22 pixels; make it smaller"
    for read in (read_header, decode_image):
        with pytest.raises(UserError, match=rule):
            read(save(Image.fromarray(COLOUR), "PNG"), "here")
