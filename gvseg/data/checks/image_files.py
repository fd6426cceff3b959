"""Image files that end too early or hold other bytes than were written.

A decoder stops as soon as it has the last row of pixels. What is missing behind that, or was
flipped on the way and still decodes, only the structure of the file can tell.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9  # second bytes of markers
# What can end the pixels of a scan: no escaped byte, no restart. Fill bytes may precede it.
_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


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
    elif content.startswith(_JPEG_START) and not _has_jpeg_end(content):
        raise OSError(f"{path} is truncated: it has no end-of-image marker.")


def _has_jpeg_end(content: bytes) -> bool:
    """Follow the segments of a JPEG; a thumbnail is within one, anything may follow its end."""
    marker = _JPEG_MARKER.search(content, len(_JPEG_START) - 1)
    while marker is not None:
        kind, position = content[marker.end() - 1], marker.end()
        if kind == _JPEG_END:
            return True
        body_end = position + int.from_bytes(content[position : position + 2], "big")
        # Behind the head of a scan come its pixels, else the next segment.
        find = _JPEG_MARKER.search if kind == _JPEG_SCAN else _JPEG_MARKER.match
        marker = find(content, body_end)
    return False


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
