"""One encoded image as pixels: turned as its EXIF says, composed on white where it is transparent,
and refused where its channels have more than 8 bits.

Pillow cuts many files of 16 bits a channel silently to 8, so that their headers are read here.
"""

import io
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pruning.user_error import UserError
from trainables.data.error_text import one_line
from trainables.data.fast_jpeg import decode_plain_jpeg

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = {"1", "L", "LA"}  # modes of Pillow without colours
_TRANSPARENT = {"LA", "La", "PA", "RGBA", "RGBa"}
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258  # tags of EXIF and of TIFF
_TURNED = range(2, 9)  # orientations other than upright
_ON_THEIR_SIDE = range(5, 9)  # those that exchange height and width


class ImageHeader(NamedTuple):
    """What the header of an encoded image says. height, width: as decoded, hence after rotation."""

    height: int
    width: int
    grey: bool
    transparent: bool
    turned: bool


def read_header(encoded: bytes | None, where: str) -> ImageHeader:
    """Size and kind of an encoded image; its pixels are not decoded.

    Raises:
        UserError: it is no image, or has more than 8 bits a channel. The message says `where`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            depth, header = _excess_depth(image, encoded or b""), _describe(image)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise _cannot_decode(error, where) from error
    if depth:
        raise _too_deep(depth, where)
    return header


def decode_image(encoded: bytes | None, where: str) -> np.ndarray:
    """One image as uint8 [H, W] if grey, else [H, W, 3].

    Raises:
        UserError: it is none, is damaged, or has more than 8 bits a channel.
    """
    from PIL import Image

    plain = decode_plain_jpeg(encoded or b"")
    if plain is not None:
        return plain
    try:
        with Image.open(io.BytesIO(encoded or b"")) as image:
            depth = _excess_depth(image, encoded or b"")
            if not depth:
                return np.asarray(_upright(image))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise _cannot_decode(error, where) from error
    raise _too_deep(depth, where)


def encode_array(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 [H, W, 1] or [H, W, 3], as a PNG file, without loss."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _upright(image: "Image") -> "Image":
    """The image in mode L or RGB, turned upright, without transparency."""
    from PIL import Image, ImageOps

    target = "L" if image.mode in GREY else "RGB"
    transparent = _is_transparent(image)
    if _orientation(image) in _TURNED:
        image = ImageOps.exif_transpose(image)
    if transparent:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(target)


def _describe(image: "Image") -> ImageHeader:
    from PIL import ImageOps

    orientation = _orientation(image)
    grey, turned, transparent = image.mode in GREY, orientation in _TURNED, _is_transparent(image)
    width, height = image.size[::-1] if orientation in _ON_THEIR_SIDE else image.size
    if turned and image.format == "TIFF":  # whose size Pillow gives turned since version 11
        width, height = ImageOps.exif_transpose(image).size
    return ImageHeader(height, width, grey, transparent, turned)


def _is_transparent(image: "Image") -> bool:
    return image.mode in _TRANSPARENT or "transparency" in image.info


def _orientation(image: "Image") -> int:
    """The orientation in the EXIF data, 1 (upright) where there are none that can be read."""
    if image.format in ("BMP", "GIF", "PPM") or (
        image.format in ("JPEG", "WEBP") and "exif" not in image.info
    ):
        return 1  # spares 10 us an image
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data, which viewers ignore, too
        return 1


def _excess_depth(image: "Image", encoded: bytes) -> str:
    """What has more than 8 bits a channel in an image that is not loaded yet; empty if nothing."""
    if image.mode in {"F", "I"} or image.mode.startswith("I;"):
        return f"mode '{image.mode}'"
    # After the signature, the length and the name of its first chunk: width, height, bits.
    if image.format == "PNG" and encoded[12:16] == b"IHDR":
        bits = struct.unpack(">II B", encoded[16:25].ljust(9, b"\0"))[2]
        return f"{bits} bits" if bits > 8 else ""
    if image.format == "TIFF":
        bits = max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,)), default=8)
        return f"{bits} bits" if bits > 8 else ""
    if image.format == "PPM":
        for tile in getattr(image, "tile", ()):
            limits = tile[3] if isinstance(tile[3], tuple) else ()
            if any(isinstance(limit, int) and limit > 255 for limit in limits[1:]):
                return "16 bits"
    return ""


def _cannot_decode(error: Exception, where: str) -> UserError:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return UserError(f"the image in {where} has more than {most:,} pixels; make it smaller")
    reason = "it is none" if isinstance(error, UnidentifiedImageError) else one_line(error)
    return UserError(f"cannot decode the image in {where}: {reason}; fetch the file again")


def _too_deep(depth: str, where: str) -> UserError:
    return UserError(f"images must have 8 bits a channel, but {where} has {depth}; convert them")
