"""``ObjectMemory``: what is kept of objects that were read, so that a later read costs little.

Bounded by bytes and by entries; the least recently used go first. What is kept is what was
received, and an immutable value; of mutable ones each reader gets a fresh copy. Whether an
entry is still true is asked of the server at each read. Keyed by the cache's URL and the key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import pyarrow as pa

from flamepy.objects.codec import decode, decode_table, is_constant
from flamepy.wire.objects import ObjectKey

MAX_BYTES = 1 << 30
MAX_ENTRIES = 1000

Key = tuple[str, str]


class CacheInfo(NamedTuple):
    """What the client-side cache holds and has done since it was made.

    Attributes:
        hits: reads that needed nothing, because nothing had changed.
        increments: reads that needed new patches only.
        misses: reads of everything.
        entries, bytes: what is held.
        max_entries, max_bytes: what may be held.
    """

    hits: int
    increments: int
    misses: int
    entries: int
    bytes: int
    max_entries: int
    max_bytes: int


class Part:
    """A base or a patch as it was received; ``value`` makes what it means.

    Args:
        version: at which it was written.
        data: a buffer, or a table that travelled as one.
    """

    __slots__ = ("_constant", "_data", "_value", "size", "version")

    def __init__(self, version: int, data: pa.Buffer | pa.Table) -> None:
        self.version = version
        self.size: int = data.nbytes if isinstance(data, pa.Table) else data.size
        self._data = data
        self._value: Any = None
        self._constant = False

    @property
    def data(self) -> pa.Buffer | pa.Table:
        """What was received; None once only the value is kept."""
        return self._data

    def value(self, *, allow_pickle: bool) -> Any:
        """Return the value: a fresh copy, or an immutable one.

        Raises:
            PickleRefusedError, InvalidArgumentError: see ``codec.decode``.
        """
        if self._constant:
            return self._value
        data = self._data
        if isinstance(data, pa.Table):
            return decode_table(data)
        value = decode(data, allow_pickle=allow_pickle)
        if is_constant(value):
            # A constant needs no code to be loaded, so the next reader may have it in any case.
            self._value, self._constant = value, True
            if isinstance(value, (bytes, str)):
                self._data = None  # else its bytes are kept twice
        return value


class Entry(NamedTuple):
    """An object as it was at its version."""

    base: Part
    patches: tuple[Part, ...] = ()

    @property
    def version(self) -> int:
        """The highest version of base and patches."""
        return self.patches[-1].version if self.patches else self.base.version

    @property
    def size(self) -> int:
        """Bytes."""
        return self.base.size + sum(one.size for one in self.patches)


class ObjectMemory:
    """The objects that were read, bounded by bytes and entries. Safe from any thread.

    Args:
        max_bytes: of what was received; a larger object is not kept. 0 keeps nothing.
        max_entries: objects.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self._lock = threading.RLock()
        self._entries: OrderedDict[Key, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0
        self._hits = self._increments = self._misses = 0

    def find(self, key: Key) -> Entry | None:
        """Return what is kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def keep(self, key: Key, entry: Entry) -> None:
        """Keep an object, in the place of what was kept under its key."""
        size = entry.size
        with self._lock:
            self._drop(key)
            if size > self.max_bytes or self.max_entries < 1:
                return
            self._entries[key] = (entry, size)
            self._bytes += size
            while self._bytes > self.max_bytes or len(self._entries) > self.max_entries:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._bytes -= found[1]

    def forget(self, target: str) -> None:
        """Drop an object, all of a session, or all of an application; of all caches.

        One cache may be known by several names.
        """
        named = ObjectKey.from_path(target)
        with self._lock:
            for key in [one for one in self._entries if named.matches_key(one[1])]:
                self._drop(key)

    def forget_endpoint(self, endpoint: str) -> None:
        """Drop all of a cache that may have been restarted: its versions may begin anew."""
        with self._lock:
            for key in [one for one in self._entries if one[0] == endpoint]:
                self._drop(key)

    def count(self, *, hit: bool, increment: bool) -> None:
        """Record what a read needed."""
        with self._lock:
            self._hits += hit
            self._increments += increment
            self._misses += not hit and not increment

    def clear(self) -> None:
        """Drop everything, and count from 0."""
        with self._lock:
            self._entries.clear()
            self._bytes = self._hits = self._increments = self._misses = 0

    def info(self) -> CacheInfo:
        """Return what is held and was done."""
        with self._lock:
            return CacheInfo(
                self._hits,
                self._increments,
                self._misses,
                len(self._entries),
                self._bytes,
                self.max_entries,
                self.max_bytes,
            )
