"""``ObjectStore``: the objects of the embedded cache, their versions, and which are in memory.

The rules are docs/protocol.md#object-cache. One lock guards what is known; writers of one key wait
for each other on one of ``STRIPES`` more, under which the disk is written. Memory holds at most
``limit`` bytes, uploads in progress included; the least recently used objects leave it, one by
one. With a disk they are read back when asked for, without one they are lost.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from flamepy.local.object_cache.disk import ObjectDisk
from flamepy.local.object_cache.payload import Base, Native, Opaque, at_version
from flamepy.texts import text_of
from flamepy.wire.objects import ObjectKey

STRIPES = 64
MAX_PATCHES = 1000  # with a disk, as an engine has it


class ObjectMissing(Exception):
    """There is no object to get, or to patch; the text is an engine's."""


class ObjectRefused(Exception):
    """An upload that is too large, or a patch too many."""


class MemoryBusy(Exception):
    """Uploads in progress take the memory; later there is room."""


class Answer(NamedTuple):
    """What a get is answered with: nothing (not modified), patches only, or everything."""

    base: Base | None = None
    patches: tuple[Opaque, ...] = ()


@dataclass(slots=True)
class _Entry:
    """What is known of a key; ``base`` is None while it is not in memory."""

    version: int
    base_version: int
    size: int
    base: Base | None = None
    patches: list[Opaque] = field(default_factory=list)
    count: int = 0  # patches, in memory or not
    number: int = 0  # of the next patch's file


class Upload:
    """Memory that an upload has taken so far; ``with`` gives it back.

    Args:
        store: whose memory it is.
        patches: the object that a patch is for, which must not leave the memory for it.
    """

    def __init__(self, store: ObjectStore, patches: str | None = None) -> None:
        self._store = store
        self.patches = patches
        self.taken = 0

    def take(self, size: int) -> None:
        """Take more. Raises ObjectRefused, MemoryBusy."""
        self.taken += size
        self._store.reserve(self, size)

    def release(self) -> None:
        """Give it all back. Idempotent."""
        taken, self.taken = self.taken, 0
        self._store.reserve(self, -taken)


class ObjectStore:
    """The cache's objects and their versions. Safe from any thread.

    Args:
        limit: bytes of objects in memory.
        disk: where objects are kept as well, if anywhere.
    """

    def __init__(self, limit: int, disk: ObjectDisk | None = None) -> None:
        self.limit = limit
        self._disk = disk
        self._lock = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(STRIPES)]
        self._entries: dict[str, _Entry] = {}
        self._loaded: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first
        self._used = 0
        self._reserved = 0
        for found in disk.scan() if disk is not None else ():
            self._entries[found.key] = _Entry(
                version=max((found.version, *found.patches)),
                base_version=found.version,
                size=found.size,
                count=len(found.patches),
                number=found.number,
            )

    @property
    def used(self) -> int:
        """Bytes of objects in memory."""
        return self._used

    # ------------------------------------------------------------------ memory

    @contextlib.contextmanager
    def upload(self, patches: str | None = None) -> Iterator[Upload]:
        """Give an account for an upload's memory, and take back what is in it at the end."""
        made = Upload(self, patches)
        try:
            yield made
        finally:
            made.release()

    def reserve(self, upload: Upload, more: int) -> None:
        """Set memory aside for an upload that takes ``more`` bytes than before."""
        with self._lock:
            self._reserved += more
            if more <= 0:
                return
            if upload.taken > self.limit:
                raise ObjectRefused(
                    f"object is larger than the cache's memory of {self.limit} bytes: start it "
                    "with more (--cache-memory), or put smaller objects"
                )
            patched = self._loaded.get(upload.patches or "")
            if upload.patches is not None and patched is not None:
                self._check_size(upload.patches, patched, upload.taken)
            self._make_room(0, upload.patches)
            if self._used + self._reserved > self.limit:
                raise MemoryBusy(
                    f"uploads in progress take the cache's memory of {self.limit} bytes; try again"
                )

    def _make_room(self, more: int, keep: str | None = None) -> None:
        """Let objects go, least recently used first, until the rest fits; under the lock."""
        while self._used + self._reserved + more > self.limit:
            victim = next((key for key in self._loaded if key != keep), None)
            if victim is None:
                return
            self._let_go(victim)

    def _let_go(self, key: str) -> None:
        entry = self._loaded.pop(key, None)
        if entry is not None:
            self._used -= entry.size
            entry.base, entry.patches = None, []

    def _keep(self, key: str, entry: _Entry, upload: Upload | None = None) -> None:
        """Hold an entry that fits in memory, as the one used last; under the lock."""
        if upload is not None:
            taken, upload.taken = upload.taken, 0
            self._reserved -= taken
        self._loaded.pop(key, None)
        self._make_room(entry.size)
        self._loaded[key] = entry
        self._used += entry.size

    # ------------------------------------------------------------------ writes

    def _stripe(self, key: str) -> threading.Lock:
        return self._stripes[hash(key) % STRIPES]

    def put(self, key: str, payload: Base, upload: Upload) -> int:
        """Store or replace an object and drop its patches; return its version.

        Raises:
            OSError: it cannot be written; nothing was changed.
        """
        with self._stripe(key):
            with self._lock:
                known = self._entries.get(key)
                version = (known.version if known else 0) + 1
            base = at_version(payload, version)
            if self._disk is not None:
                self._disk.write(key, base)
            with self._lock:
                self._let_go(key)
                entry = self._entries[key] = _Entry(version, version, base.size, base)
                self._keep(key, entry, upload)
        return version

    def patch(self, key: str, payload: Opaque, upload: Upload) -> int:
        """Append a patch; return its version.

        Raises:
            ObjectMissing: there is no such object.
            ObjectRefused: it has too many patches, or would not fit into the memory.
            OSError: it cannot be written; nothing was changed.
        """
        with self._stripe(key):
            with self._lock:
                entry = self._entries.get(key)
                if entry is None or (entry.base is None and self._disk is None):
                    raise ObjectMissing(f"object <{key}> not found for patch")
                self._check_patch(key, entry, payload.size)
            patch = Opaque(payload.data, entry.version + 1)
            if self._disk is not None:
                self._disk.write_patch(key, entry.number, patch)
            with self._lock:
                self._add_patch(key, entry, patch, upload)
        return patch.version

    def _check_patch(self, key: str, entry: _Entry, size: int) -> None:
        if self._disk is not None and entry.count >= MAX_PATCHES:
            raise ObjectRefused(f"object <{key}> has reached maximum delta count ({MAX_PATCHES})")
        self._check_size(key, entry, size)

    def _check_size(self, key: str, entry: _Entry, more: int) -> None:
        if entry.size + more > self.limit:
            raise ObjectRefused(
                f"object <{key}> with its patches is larger than the cache's memory of "
                f"{self.limit} bytes: update it, which drops them"
            )

    def _add_patch(self, key: str, entry: _Entry, patch: Opaque, upload: Upload) -> None:
        if entry.base is None and self._disk is None:  # evicted since it was looked for
            raise ObjectMissing(f"object <{key}> not found for patch")
        if entry.base is not None:
            self._used -= entry.size
            entry.patches.append(patch)
        entry.version = patch.version
        entry.count += 1
        entry.number += 1
        entry.size += patch.size
        if entry.base is not None:
            self._keep(key, entry, upload)

    def delete(self, target: str) -> None:
        """Delete an object, all of a session, or all of an application (``app/*``)."""
        named = ObjectKey.from_path(target)
        with self._lock:
            keys = [key for key in self._entries if named.matches_key(key)]
        for key in keys:
            with self._stripe(key):
                if self._disk is not None:
                    self._disk.delete(key)
                with self._lock:
                    self._let_go(key)
                    self._entries.pop(key, None)

    # ------------------------------------------------------------------ reads

    def get(self, key: str, version: int) -> Answer:
        """Return what a reader needs that has ``version`` (0: nothing).

        Raises:
            ObjectMissing: there is no such object, it was evicted, or its file is damaged.
            OSError: its file cannot be read.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or (entry.base is None and self._disk is None):
                raise ObjectMissing(f"object <{key}> not found")
            if version and version == entry.version:
                return Answer()
            if entry.base is not None:
                self._loaded.move_to_end(key)
                return _answer(entry, version)
        return self._load(key, version)

    def _load(self, key: str, version: int) -> Answer:
        assert self._disk is not None
        with self._stripe(key):
            with self._lock:
                entry = self._entries.get(key)
                if entry is None:
                    raise ObjectMissing(f"object <{key}> not found")
                if entry.base is not None:
                    return _answer(entry, version)
            try:
                base, patches = self._disk.read(key)
            except (FileNotFoundError, ValueError) as error:
                with self._lock:
                    del self._entries[key]
                raise ObjectMissing(f"object <{key}> not found: {text_of(error)}") from error
            with self._lock:
                entry.base, entry.patches = base, patches
                answer = _answer(entry, version)
                if entry.size > self.limit:  # it was written with a larger limit
                    entry.base, entry.patches = None, []
                else:
                    self._keep(key, entry)
            return answer

    def schema(self, key: str) -> object | None:
        """Return a native object's schema, None of any other key."""
        try:
            base = self.get(key, 0).base
        except (ObjectMissing, OSError):
            return None
        return base.schema if isinstance(base, Native) else None

    def list(self) -> list[tuple[str, int]]:
        """Return all keys with their bytes; also of objects that were evicted."""
        with self._lock:
            return [(key, entry.size) for key, entry in self._entries.items()]


def _answer(entry: _Entry, version: int) -> Answer:
    if isinstance(entry.base, Native):
        return Answer(entry.base)
    if version and entry.base_version <= version < entry.version:
        newer = tuple(one for one in entry.patches if one.version > version)
        if len(newer) == entry.version - version:  # else one is lost
            return Answer(None, newer)
    return Answer(entry.base, tuple(entry.patches))
