"""Plain JPEG files decoded by torchvision, in three quarters of Pillow's time, to the same pixels.

Plain are those of one or three channels of 8 bits without EXIF data, which may turn an image, and
without Adobe's marker, which may mean other colours. Both libraries decode by libjpeg-turbo; should
the two copies of it differ, which is tried once in a process, nothing is decoded here.
"""

import io
from functools import cache

import numpy as np

_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman codes
_START_OF_SCAN, _APP1, _APP14 = 0xDA, 0xE1, 0xEE


def decode_plain_jpeg(encoded: bytes) -> np.ndarray | None:
    """The pixels of a plain JPEG file, uint8 [H, W] if grey, else [H, W, 3]; None where it is
    something else, or damaged."""
    channels = _count_channels(encoded)
    if channels is None or not _decoders_agree():
        return None
    return _decode(encoded, channels)


def _decode(encoded: bytes, channels: int) -> np.ndarray | None:
    import torch
    from torchvision.io import ImageReadMode

    content = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    try:
        # What `torchvision.io.decode_jpeg` calls; that one warns at each call since 0.29 that it
        # will be removed, and from then on Pillow decodes.
        pixels: torch.Tensor = torch.ops.image.decode_jpeg(content, mode.value, False)
    except RuntimeError:  # Pillow shall say what is wrong with it
        return None
    array: np.ndarray = (
        (pixels[0] if channels == 1 else pixels.permute(1, 2, 0)).contiguous().numpy()
    )
    return array


def _count_channels(encoded: bytes) -> int | None:
    """1 or 3, from the markers before the first scan; None where the file is not plain."""
    if encoded[:2] != b"\xff\xd8":
        return None
    at, channels = 2, None
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == _START_OF_SCAN:
            return channels
        if marker in _STANDALONE or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (_APP1, _APP14) or (0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xCC)):
            return None
        if marker in _FRAMES:
            if len(encoded) < at + 10 or encoded[at + 4] != 8 or encoded[at + 9] not in (1, 3):
                return None
            channels = encoded[at + 9]
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None


@cache
def _decoders_agree() -> bool:
    """Whether torchvision is there and decodes to Pillow's pixels: noise, with colours at half the
    resolution, and grey."""
    from PIL import Image

    noise = np.random.RandomState(0).randint(0, 256, (37, 53, 3)).astype(np.uint8)
    for image in (Image.fromarray(noise), Image.fromarray(noise[..., 0])):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        try:
            found = _decode(stream.getvalue(), len(image.getbands()))
        except (ImportError, RuntimeError, AttributeError):  # it fits another torch
            return False
        if found is None or not np.array_equal(found, np.asarray(Image.open(stream))):
            return False
    return True
