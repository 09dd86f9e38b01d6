"""The file of a recording: compressed JSON lines, which survive a ``kill -9``.

It is a sequence of gzip members, which ``zcat`` reads; while it is written, lines that are not
compressed yet follow them. A full block of lines is compressed into a member that takes their
place. A process that is killed in the middle of that leaves lines twice, or half a line: lines have
numbers, so a reader and a process that resumes leave out what does not fit.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flamepy.errors import ConfigError, InvalidArgumentError
from flamepy.recording.lines import Decoder, Fields, Header, Item, encode, problem_of
from flamepy.texts import text_of

BLOCK = 256 * 1024  # bytes of lines that become one member
LEVEL = 6
PIECE = 1 << 16
MAGIC = b"\x1f\x8b"
BEGIN = b'{"n":'  # of each line


class RecordingFile:
    """A recording that is written; one thread at a time.

    Args:
        path: of the file; one that is there already is continued.

    Raises:
        ConfigError: it cannot be written, or is another kind of file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.lines = 0  # of this process
        self._number = 0
        self._block = bytearray()
        try:
            self._file: IO[bytes] = self._open()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from error
        self.resumed = self._number > 0
        self.last_keys: frozenset[str] = self._keys

    def _open(self) -> IO[bytes]:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        file = os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0)
        try:
            self._begin = self._recover(file)
        except BaseException:
            file.close()
            raise
        return file

    def _recover(self, file: IO[bytes]) -> int:
        """Find where the members end; take the lines after them into the block."""
        keys: list[str] = []
        blocks = _Blocks(file, self.path)
        for fields in blocks.fields():
            self._number = int(fields["n"])
            if "key" in fields:
                keys.append(str(fields["key"]))
                del keys[:-KEYS]
        self._keys = frozenset(keys)
        self._block += blocks.tail
        file.seek(blocks.end)
        file.write(self._block)
        file.truncate(blocks.end + len(self._block))
        return blocks.end

    def write(self, fields: Fields) -> None:
        """Add a line; it survives the process from the return on.

        Raises:
            ConfigError: the disk is full, or the file is gone.
        """
        self._number += 1
        line = encode(self._number, fields)
        try:
            self._file.write(line)
            self._block += line
            if len(self._block) >= BLOCK:
                self._compress()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from error
        self.lines += 1

    def _compress(self) -> None:
        member = gzip.compress(bytes(self._block), LEVEL, mtime=0)
        self._file.seek(self._begin)
        self._file.write(member)
        self._begin += len(member)
        self._file.truncate(self._begin)
        self._block.clear()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._begin + len(self._block)

    def close(self) -> None:
        """Compress what is left, and close the file. Idempotent."""
        if self._file.closed:
            return
        try:
            if self._block:
                self._compress()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from error
        finally:
            self._file.close()


KEYS = 10_000  # of the last events, by which a process that resumes knows them


class _Blocks:
    """Reads members, then lines that are not compressed.

    Attributes:
        end: where the last whole member ends.
        tail: the whole lines after it whose numbers follow.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._last = 0
        self.end = 0
        self.tail = b""

    def fields(self) -> Iterator[dict[str, Any]]:  # Any: what JSON gives
        """Yield the lines as dictionaries.

        Raises:
            ConfigError: it is no recording.
        """
        first = True
        while (lines := self._member()) is not None:
            for line in lines.splitlines(keepends=True):
                fields = self._parsed(line)
                if fields is not None:
                    yield fields
                elif first:
                    raise self._wrong()
                first = False
        self._file.seek(self.end)
        rest = self._file.read()
        if first and not (_begins(rest) or _begins_packed(rest)):
            raise self._wrong()
        kept = []
        for line in rest.splitlines(keepends=True):
            fields = self._parsed(line)
            if fields is not None:
                kept.append(line)
                yield fields
        self.tail = b"".join(kept)

    def _wrong(self) -> ConfigError:
        return ConfigError(
            f"{self._path} is no recording: `flamepy record` writes them; give another file"
        )

    def _member(self) -> bytes | None:
        """Return the text of the next member; None where there is no whole one."""
        self._file.seek(self.end)
        if self._file.read(len(MAGIC)) != MAGIC:
            return None
        self._file.seek(self.end)
        unpack, text, size = zlib.decompressobj(wbits=31), bytearray(), 0
        try:
            while piece := self._file.read(PIECE):
                text += unpack.decompress(piece)
                size += len(piece)
                if unpack.eof:
                    self.end += size - len(unpack.unused_data)
                    return bytes(text)
        except zlib.error:
            return None  # half a member, of a process that was killed
        return None

    def _parsed(self, line: bytes) -> dict[str, Any] | None:  # Any: what JSON gives
        """Return a line whose number follows; None for half a one, or one that was read before."""
        if not line.endswith(b"\n"):
            return None
        try:
            fields = json.loads(line)
            number = int(fields["n"])
        except (ValueError, KeyError, TypeError):
            return None
        if number <= self._last:
            return None
        self._last = number
        return fields if isinstance(fields, dict) else None


def _begins(data: bytes) -> bool:
    """Return True for the beginning of a line, however short, and for nothing."""
    return data[: len(BEGIN)] == BEGIN[: len(data)]


def _begins_packed(data: bytes) -> bool:
    """Return True for the beginning of a member with such lines, however short."""
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        return False
    try:
        return _begins(zlib.decompressobj(wbits=31).decompress(data, len(BEGIN)))
    except zlib.error:
        return False


class Recording:
    """A recording that is read: an iterable of its items, in the order of their observation.

    Args:
        path: of a file that ``Recorder`` or ``flamepy record`` wrote, or writes.

    Raises:
        ConfigError: it cannot be read, or is no recording.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.header = self._first()

    def _first(self) -> Fields:
        for item in self.items():
            if isinstance(item, Header):
                return item.fields
            break
        raise ConfigError(f"{self.path} has no header, with which each recording begins")

    def fields(self) -> Iterator[dict[str, Any]]:  # Any: what JSON gives
        """Yield the lines as dictionaries.

        Raises:
            ConfigError: it cannot be read, or is no recording.
        """
        try:
            with self.path.open("rb") as file:
                yield from _Blocks(file, self.path).fields()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {text_of(error.strerror)}") from error

    def items(self) -> Iterator[Item]:
        """Yield events, changes of the connection and marks.

        Raises:
            ConfigError: it cannot be read, or a line is not that of a recording.
        """
        decoder = Decoder()
        for fields in self.fields():
            try:
                item = decoder.item(fields)
            except (InvalidArgumentError, TypeError, ValueError) as error:
                number = fields.get("n")
                raise ConfigError(f"{self.path}, line {number}: {problem_of(error)}") from error
            if item is not None:
                yield item

    def __iter__(self) -> Iterator[Item]:
        return self.items()
