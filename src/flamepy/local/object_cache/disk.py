"""``ObjectDisk``: the files of the object cache, in an engine's layout, each written whole or not.

``<app>/<session>/<object>.arrow`` and ``<object>.deltas/<n>.arrow``, Arrow IPC files. A file gets
its name when it is complete, so that a kill at any moment leaves what was there before. The remains
of a kill are removed at the next start; what cannot be read is set aside with the ending
``.damaged`` and named in a warning. The file ``format`` has the folder's number (``formats``).
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa

from flamepy.errors import ConfigError
from flamepy.formats import UPGRADE, FolderStep, NewerFormat, open_folder
from flamepy.local.object_cache.payload import (
    Base,
    Native,
    Opaque,
    joined_cells,
    one_cell,
    one_number,
)
from flamepy.texts import text_of
from flamepy.wire.objects import FORMAT, NATIVE, VERSION, parse_key

logger = logging.getLogger(__name__)

FOLDER_FORMAT = 1  # a change of names or files raises it and adds a step
STEPS: dict[int, FolderStep] = {}
FILE, DELTAS, DAMAGED, TEMPORARY = ".arrow", ".deltas", ".damaged", ".new-"
LONGEST = 200  # bytes of a part of a key as the name of a file
SCHEMA = pa.schema(
    [
        pa.field("version", pa.uint64(), nullable=False),
        pa.field("data", pa.binary(), nullable=False),
    ]
)


class Found(NamedTuple):
    """An object on the disk.

    Attributes:
        version: the base's.
        patches: their versions, ascending.
        number: of the next patch's file.
        size: bytes of base and patches.
    """

    key: str
    version: int
    patches: list[int]
    number: int
    size: int


class ObjectDisk:
    """The cache's files in one folder. Writers of one key come one after the other.

    Args:
        root: the folder; made, for this user alone, when it is not there.

    Raises:
        ConfigError: it is of a newer release, and is left as it is.
        OSError: it cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            open_folder(root, STEPS, FOLDER_FORMAT)
        except (NewerFormat, ValueError, KeyError) as error:
            why = text_of(error)
            if not isinstance(error, NewerFormat):
                why = f"has a number of no release: {why}"
            raise ConfigError(
                f"the object cache's folder {root} {why}: it is left as it is; {UPGRADE}, or move "
                "it away to start with an empty cache"
            ) from error

    # ------------------------------------------------------------------ writing

    def write(self, key: str, base: Base) -> None:
        """Store a base; the patches of the one before it go. Raises OSError, ValueError."""
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if isinstance(base, Native):
            _write(path, base.schema, list(base.batches))
        else:
            _write(path, SCHEMA, [_row(base)])
        self._drop_deltas(path)  # they are older than the base, so a kill before this does no harm

    def write_patch(self, key: str, number: int, patch: Opaque) -> None:
        """Store the patch of that number, from 0. Raises OSError."""
        folder = _deltas(self._path(key))
        folder.mkdir(mode=0o700, exist_ok=True)
        _write(folder / f"{number}{FILE}", SCHEMA, [_row(patch)])

    def delete(self, key: str) -> None:
        """Delete an object. Raises OSError."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        self._drop_deltas(path)

    def _drop_deltas(self, path: Path) -> None:
        folder = _deltas(path)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------ reading

    def read(self, key: str) -> tuple[Base, list[Opaque]]:
        """Return an object.

        Raises:
            ValueError: its file is damaged, and was set aside; the text names it.
            OSError: the system cannot read it.
        """
        path = self._path(key)
        base = _read_or_set_aside(path)
        patches: list[Opaque] = []
        for delta in _numbered(_deltas(path)):
            patch = _read_or_set_aside(delta)
            least = patches[-1].version if patches else base.version
            version = patch.version or base.version + len(patches) + 1  # as an engine reads a 0
            if isinstance(patch, Opaque) and version > least:
                patches.append(Opaque(patch.data, version))
        return base, patches

    def scan(self) -> Iterator[Found]:
        """Look at every file once, clean up what a kill left, set aside what is damaged.

        Raises:
            OSError: the system cannot read a file.
        """
        for path in sorted(self.root.glob("*/*/*")):
            name = path.name
            if TEMPORARY in name:
                path.unlink(missing_ok=True)
            elif name.endswith(DELTAS) and path.is_dir():
                if not path.with_name(name.removesuffix(DELTAS) + FILE).exists():
                    shutil.rmtree(path, ignore_errors=True)  # of an object that was deleted
            elif name.endswith(FILE) and path.is_file():
                found = self._look(path)
                if found is not None:
                    yield found

    def _look(self, path: Path) -> Found | None:
        try:
            key = "/".join(unquote(part) for part in (*path.parts[-3:-1], path.name[: -len(FILE)]))
            parse_key(key)
            version, size = _glance(path)
        except (OSError, ValueError) as error:
            if not is_damage(error):
                raise
            set_aside(path, error)
            return None
        patches: list[int] = []
        number = 0
        for delta in _numbered(_deltas(path)):
            try:
                found, more = _glance(delta)
            except (OSError, ValueError) as error:
                if not is_damage(error):
                    raise
                set_aside(delta, error)
                continue
            found = found or version + len(patches) + 1
            if found <= (patches[-1] if patches else version):
                delta.unlink(missing_ok=True)  # of the base before this one
                continue
            patches.append(found)
            number = int(delta.name.removesuffix(FILE)) + 1
            size += more
        return Found(key, version, patches, number, size)

    def _path(self, key: str) -> Path:
        """Return an object's file, which no key can make another's or bring out of the folder."""
        app, session, name = (_file_name(part) for part in parse_key(key))
        return self.root / app / session / f"{name}{FILE}"


def _file_name(part: str) -> str:
    name = quote(part, safe=" !#$&'()+,;=@[]^`{}~")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > LONGEST:
        raise ValueError(
            f"Invalid key component: '{part[:40]}...': as the name of a file it has {len(name)} "
            f"bytes; at most {LONGEST} are kept on the disk"
        )
    return name


def _deltas(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(FILE) + DELTAS)


def _numbered(folder: Path) -> list[Path]:
    """Return the files of patches in order; remove what a kill left."""
    if not folder.is_dir():
        return []
    for path in folder.glob(f"*{TEMPORARY}*"):
        path.unlink(missing_ok=True)
    found = [one for one in folder.glob(f"*{FILE}") if one.name.removesuffix(FILE).isdecimal()]
    return sorted(found, key=lambda one: int(one.name.removesuffix(FILE)))


def _row(one: Opaque) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([one_number(one.version), one_cell(one.data)], schema=SCHEMA)


def _write(path: Path, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    made = path.with_name(f"{path.name}{TEMPORARY}{uuid.uuid4().hex}")
    try:
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with pa.OSFile(str(made), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        made.rename(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Base:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        schema = file.schema
        batches = [file.get_batch(place) for place in range(file.num_record_batches)]
    metadata = schema.metadata or {}
    if metadata.get(FORMAT) == NATIVE:
        size = sum(batch.nbytes for batch in batches)
        return Native(schema, batches, int(metadata.get(VERSION, b"0")), size)
    _check(schema, batches)
    return Opaque(joined_cells(batches[0].column(1)), batches[0].column(0)[0].as_py())


def _check(schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    kinds = [one.type for one in schema]
    if kinds != [pa.uint64(), pa.binary()] or len(batches) != 1 or batches[0].num_rows != 1:
        raise ValueError("it is no file of the object cache: one row of version and data")


def _glance(path: Path) -> tuple[int, int]:
    """Return a file's version and bytes; its data stay on the disk."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        metadata = file.schema.metadata or {}
        batches = [file.get_batch(place) for place in range(file.num_record_batches)]
        if metadata.get(FORMAT) == NATIVE:
            return int(metadata.get(VERSION, b"0")), sum(one.nbytes for one in batches)
        _check(file.schema, batches)
        return batches[0].column(0)[0].as_py(), joined_cells(batches[0].column(1)).size


def _read_or_set_aside(path: Path) -> Base:
    try:
        return _read(path)
    except (OSError, ValueError) as error:
        if not is_damage(error):
            raise
        raise ValueError(set_aside(path, error)) from error


def is_damage(error: Exception) -> bool:
    """True if what a file holds is wrong, not that the system could not read it just now."""
    return not isinstance(error, OSError) or error.errno is None


def set_aside(path: Path, why: object) -> str:
    """Rename an unreadable file, so that it is not read again; return the warning's text."""
    aside = path.with_name(f"{path.name}{DAMAGED}")
    try:
        path.rename(aside)
        said = f"object cache file {path} cannot be read ({why}): it is set aside as {aside.name}"
    except OSError:
        said = f"object cache file {path} cannot be read ({why})"
    logger.warning("%s", said)
    return said
