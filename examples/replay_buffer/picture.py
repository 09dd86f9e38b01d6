"""A line in a PNG file, by the standard library and numpy alone."""

import struct
import zlib
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, EDGE = 640, 320, 24


def draw(path: Path, values: list[float]) -> None:
    """Draw the values from left to right, the lowest at the bottom, with a line every 500."""
    low, high = min(values), max(max(values), 0)
    image = np.full((HEIGHT, WIDTH, 3), 255, "u1")

    def height(value: float) -> int:
        share = (value - low) / ((high - low) or 1)
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE))

    for mark in range(0, int(low) - 1, -500):
        image[height(mark), EDGE : WIDTH - EDGE] = 220
    columns = np.linspace(EDGE, WIDTH - EDGE - 1, len(values))
    across = np.arange(EDGE, WIDTH - EDGE)
    line = np.interp(across, columns, [height(value) for value in values]).round().astype(int)
    for column, (before, now) in zip(
        across, zip(line, np.append(line[1:], line[-1]), strict=True), strict=True
    ):
        image[min(before, now) - 1 : max(before, now) + 1, column] = (20, 90, 200)
    rows = np.concatenate([np.zeros((HEIGHT, 1), "u1"), image.reshape(HEIGHT, -1)], axis=1)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
