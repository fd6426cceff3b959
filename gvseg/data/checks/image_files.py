"""Image files that end too early or hold other bytes than were written.

A decoder stops as soon as it has the last row of pixels. What is missing behind that, or was
flipped on the way and still decodes, only the structure of the file can tell.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def check_whole(path: str | Path) -> None:
    """Check a PNG file chunk by chunk and a JPEG file for its end; pass over other formats.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is truncated, or a checksum does not fit.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist.") from None
    if content.startswith(_PNG_SIGNATURE):
        _check_png(content, path)
    # Inside a scan no marker but restarts can occur, so the end of the last scan lies behind it; an
    # earlier one is of a thumbnail.
    elif content.startswith(_JPEG_START) and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
        raise OSError(f"{path} is truncated: it has no end-of-image marker.")


def _check_png(content: bytes, path: str | Path) -> None:
    position, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        body_end = position + 8 + length
        checksum = content[body_end : body_end + 4]
        if len(checksum) < 4:
            raise OSError(f"{path} is truncated: it ends within a PNG chunk.")
        if zlib.crc32(content[position + 4 : body_end]) != int.from_bytes(checksum, "big"):
            raise OSError(f"{path} is damaged: the checksum of a PNG chunk is wrong.")
        position = body_end + 4
