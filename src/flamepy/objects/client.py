"""``ObjectClient``: everything a connection can do with the object cache, in the caller's thread.

Usable from several threads at once. Keys are checked before anything is sent; each call has a
deadline and is repeated as docs/retry.md says; errors are FlameErrors with pyarrow's as the cause.
Files are ``files``'s.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa

from flamepy.config import FlameContext
from flamepy.errors import (
    AmbiguousResultError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
    ObjectNotFoundError,
    UnavailableError,
)
from flamepy.objects import codec, files, transfer
from flamepy.objects.blocking_retrier import BlockingRetrier, Resolve
from flamepy.objects.fetching import Fetches
from flamepy.objects.listing import ObjectInfo, list_objects
from flamepy.objects.pool import Pool
from flamepy.objects.reaching import Routes
from flamepy.objects.status import FAILED, from_arrow
from flamepy.objects.store import CacheInfo, Entry, ObjectMemory, Part
from flamepy.objects.transfer import Progress
from flamepy.rpc.retry.call_limits import RAISE, RETRY, Terms, check_policy
from flamepy.rpc.transport.loop_thread import NAME as REACTOR
from flamepy.rpc.transport.ways_out import CACHE, start_one
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy
from flamepy.wire.objects import (
    VERSION,
    WRITE,
    ObjectKey,
    ObjectRef,
    Ticket,
    check_key,
    check_prefix,
    check_target,
)
from flamepy.wire.validation import timeout as check_timeout

T = TypeVar("T")
Deserializer = Callable[[Any, list[Any]], Any]
TIMEOUT = 300.0  # seconds of one try of a call, unless it says otherwise


class ObjectClient:
    """The calls of the object cache, made in the caller's thread.

    Args:
        context: where the cache is, its TLS files, and whether objects may be unpickled.
        policy: how calls are repeated.
        patience: seconds that calls wait for a cache that cannot be reached.
        on_ambiguous: what is done about a patch or an update whose answer was lost: ``"verify"``
            looks, ``"raise"`` raises, ``"retry"`` sends it again.
        memory: what is kept of objects that were read.
    """

    def __init__(
        self,
        context: FlameContext,
        *,
        policy: RetryPolicy,
        patience: float,
        on_ambiguous: str,
        memory: ObjectMemory | None = None,
    ) -> None:
        self.routes = Routes(context.cache_endpoint or "")
        self.memory = memory or ObjectMemory()
        self.allow_pickle = context.cache.allow_pickle
        self.retrier = BlockingRetrier(
            policy, way_out=start_one(context.cache_endpoint or "", CACHE)
        )
        self.pool = Pool(context.cache_tls)
        self._tls = context.cache_tls
        self._policy = policy
        self._patience = patience
        self._on_ambiguous = on_ambiguous
        self._fetches = Fetches()

    def __repr__(self) -> str:
        return f"<ObjectClient {self.routes.configured}>"

    # ------------------------------------------------------------------ writes

    def put(
        self,
        key_prefix: str,
        obj: object,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store an object under a new key below ``application/session``.

        Args:
            key_prefix: ``"training/shared"``, or the session's id in the place of ``shared``.
            obj: anything that can be pickled; arrays, tables and frames travel as they are.
            timeout: seconds for everything; by default 300 for each try.
            retry: how the call is repeated, instead of as the connection says.
            progress: is called with bytes sent and bytes in all.

        Raises:
            InvalidArgumentError: the prefix breaks a rule, or the object cannot travel.
            ResourceExhaustedError: it is larger than the cache's memory.
            FlameError: the cache cannot be reached, ...
        """
        key = ObjectKey(*check_prefix(key_prefix)).with_generated_id().to_key() or ""
        payload = codec.encode(obj)
        return self._send(
            "PutObject", self.routes.configured, key, payload, timeout, retry, progress
        )

    def update(
        self,
        ref: ObjectRef,
        new_obj: object,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Replace an object and drop its patches; returns the reference with its new version.

        Raises:
            AmbiguousResultError: the answer was lost, and another client changed the object since.
            FlameError: as for ``put``.
        """
        key, where = self.place(ref)
        mark = secrets.token_bytes(codec.MARK)
        payload = codec.encode(new_obj).marked(mark)
        made = self._send(
            "UpdateObject", where, key, payload, timeout, retry, progress,
            lambda error, left: self._find_update(ref, where, key, mark, error, left),
        )  # fmt: skip
        self.memory.forget(key)
        return made

    def patch(
        self,
        ref: ObjectRef,
        delta: object,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Append a patch to an object; returns the reference with its new version.

        Raises:
            ObjectNotFoundError: there is no such object.
            ResourceExhaustedError: it has too many patches (1000 on a disk).
            FlameError: as for ``put``.
        """
        key, where = self.place(ref)
        mark = secrets.token_bytes(codec.MARK)
        payload = codec.encode_opaque(delta).marked(mark)
        return self._send(
            "PatchObject", where, key, payload, timeout, retry, progress,
            lambda error, left: self._find_patch(ref, where, key, mark, error, left),
        )  # fmt: skip

    def _send(
        self,
        call: str,
        where: str,
        key: str,
        payload: codec.Payload,
        timeout: float | None,
        retry: RetryPolicy | None,
        progress: Progress | None,
        resolve: Resolve[ObjectRef] | None = None,
    ) -> ObjectRef:
        patching = call == "PatchObject"
        target = (transfer.patch_descriptor if patching else transfer.put_descriptor)(key)
        made = self.call(
            call,
            where,
            timeout,
            retry,
            lambda seconds: transfer.put(
                self.pool, where, target, payload, seconds=seconds, progress=progress
            ),
            resolve,
        )
        return self.public_ref(made, where)

    def public_ref(self, ref: ObjectRef, where: str) -> ObjectRef:
        """Return a server's reference, with an endpoint that other programs can use."""
        return ObjectRef(ref.endpoint or where, ref.key, ref.version)

    def delete(
        self, key: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Delete ``application/session/object``, ``application/session`` or ``application/*``.

        It is no error if there is nothing of that name.
        """
        target, where = check_target(key), self.routes.configured
        self.call(
            "DeleteObjects",
            where,
            timeout,
            retry,
            lambda seconds: transfer.delete(self.pool, where, target, seconds=seconds),
        )
        self.memory.forget(target)
        self._fetches.forget()

    # ------------------------------------------------------------------ a write of unknown fate

    def _find_patch(
        self,
        ref: ObjectRef,
        where: str,
        key: str,
        mark: bytes,
        error: FlameError,
        left: float,
    ) -> ObjectRef | None:
        """Return the patch's reference if it is there."""
        if self._resend_without_check(error):
            return None
        answer = self._read(where, Ticket(key, ref.version), left)
        for row in answer.patches:
            if _ends_with(row.data, mark):
                return ObjectRef(where, key, row.version)
        return None

    def _find_update(
        self,
        ref: ObjectRef,
        where: str,
        key: str,
        mark: bytes,
        error: FlameError,
        left: float,
    ) -> ObjectRef | None:
        """Return the update's reference if it is there; None if nothing has happened since."""
        if self._resend_without_check(error):
            return None
        try:
            answer = self._read(where, Ticket(key, ref.version), left)
        except ObjectNotFoundError:
            return None
        if answer.not_modified:
            return None
        if answer.table is not None:
            metadata = answer.table.schema.metadata or {}
            if metadata.get(WRITE) == mark.hex().encode():
                return ObjectRef(where, key, _entry(answer, None).version)
        elif answer.base is not None and _ends_with(answer.base.data, mark):
            return ObjectRef(where, key, answer.base.version)
        raise AmbiguousResultError(
            f"object {key}: the answer to an update was lost ({error.message}), and the object was "
            f"changed since version {ref.version}, so it is unknown whether this update was "
            "replaced or never made: read the object, and update it again if need be"
        ) from error

    def _resend_without_check(self, error: FlameError) -> bool:
        """True if a write of unknown fate is sent again without a look."""
        if self._on_ambiguous == RAISE:
            raise AmbiguousResultError(
                f"the answer was lost, so it may have happened: {error.message}"
            ) from error
        return self._on_ambiguous == RETRY

    def _read(self, where: str, ticket: Ticket, left: float) -> transfer.Answer:
        return self.call(
            "GetObject",
            where,
            max(0.001, left),
            None,
            lambda seconds: transfer.get(self.pool, where, ticket, seconds=seconds),
        )

    # ------------------------------------------------------------------ reads

    def get(
        self,
        ref: ObjectRef,
        deserializer: Deserializer | None = None,
        *,
        copy: bool = False,
        allow_pickle: bool | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Return an object.

        What was read before and did not change is not sent again; of one that was patched, only
        the new patches are. ``ref.version = 0`` reads everything anew.

        Args:
            ref: where it is.
            deserializer: gets the base and the list of patches, and returns the object; without
                one the base is returned.
            copy: return arrays that may be written to.
            allow_pickle: False refuses pickles, which can run code of their writer; by default as
                the configuration says.
            timeout: seconds for everything; by default 300 for each try.
            retry: how the call is repeated, instead of as the connection says.
            progress: is called with bytes received and bytes in all.

        Raises:
            ObjectNotFoundError: there is no such object.
            PickleRefusedError: it would have to be unpickled, and may not.
            FlameError: the cache cannot be reached, ...
        """
        entry = self.read(ref, timeout=timeout, retry=retry, progress=progress)
        allowed = self.allow_pickle if allow_pickle is None else allow_pickle
        base = entry.base.value(allow_pickle=allowed)
        if copy:
            base = _writable(base)
        if deserializer is None:
            return base
        return deserializer(base, [one.value(allow_pickle=allowed) for one in entry.patches])

    def read(
        self,
        ref: ObjectRef,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> Entry:
        """Return an object as it was received; arguments and errors as of ``get``."""
        key, where = self.place(ref)
        return self._fetches.get(
            (where, key),
            ref.version,
            lambda: self._fetch(where, key, ref.version, timeout, retry, progress),
        )

    def list(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[ObjectInfo]:
        """Return all objects of the cache, by key; also those that have left its memory."""
        where = self.routes.configured
        return self.call(
            "ListObjects",
            where,
            timeout,
            retry,
            lambda seconds: list_objects(where, self._tls, seconds),
        )

    def _fetch(
        self,
        where: str,
        key: str,
        version: int,
        timeout: float | None,
        retry: RetryPolicy | None,
        progress: Progress | None,
    ) -> Entry:
        known = self.memory.find((where, key)) if version else None
        ticket = Ticket(key, known.version if known else 0)
        epoch = self._fetches.epoch
        try:
            answer = self.call(
                "GetObject",
                where,
                timeout,
                retry,
                lambda seconds: transfer.get(
                    self.pool, where, ticket, seconds=seconds, progress=progress
                ),
            )
        except ObjectNotFoundError:
            self.memory.forget(key)
            raise
        if answer.not_modified and known is None:
            raise ObjectNotFoundError(f"object <{key}> not found: the cache sent nothing")
        self.memory.count(
            hit=answer.not_modified,
            increment=known is not None and answer.base is None and bool(answer.patches),
        )
        entry = known if answer.not_modified and known else _entry(answer, known)
        if epoch == self._fetches.epoch:  # else it may be of before a delete
            self.memory.keep((where, key), entry)
        return entry

    # ------------------------------------------------------------------ files

    def upload(
        self,
        key_or_prefix: str,
        file_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store a file's bytes; see ``files.upload``."""
        return files.upload(
            self, key_or_prefix, file_path, timeout=timeout, retry=retry, progress=progress
        )

    def download(
        self,
        ref: ObjectRef,
        dest_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write an object's bytes to a file, whole or not at all; see ``files.download``."""
        files.download(self, ref, dest_path, timeout=timeout, retry=retry, progress=progress)

    # ------------------------------------------------------------------ one call

    def place(self, ref: ObjectRef) -> tuple[str, str]:
        """Return a reference's key, checked, and the cache that is asked for it."""
        if not isinstance(ref, ObjectRef):
            raise InvalidArgumentError(
                f"an object is named by the ObjectRef that put_object returned, got {repr_of(ref)}"
            )
        if isinstance(ref.version, bool) or not isinstance(ref.version, int) or ref.version < 0:
            raise InvalidArgumentError(
                "ref.version must be a whole number, 0 to read everything, got "
                f"{repr_of(ref.version)}"
            )
        return check_key(ref.key), self.routes.choose(ref.endpoint)

    def call(
        self,
        name: str,
        where: str,
        timeout: float | None,
        policy: RetryPolicy | None,
        attempt: Callable[[float], T],
        resolve: Resolve[T] | None = None,
    ) -> T:
        """Make a call, again where the table allows it.

        Args:
            name: a row of the table.
            where: the cache.
            timeout: seconds for everything, or None.
            policy: instead of the connection's.
            attempt: makes one try within the seconds it is given; raises pyarrow's errors.
            resolve: see ``BlockingRetrier.run``.

        Raises:
            InvalidStateError: on the reactor's thread, which must not wait.
            FlameError: of the last try.
        """
        if threading.current_thread().name == REACTOR:
            raise InvalidStateError(
                f"a call of the object cache on the thread {REACTOR!r} would hold up everything; "
                "make it from another thread, or use flamepy.aio"
            )
        chosen = self._policy if policy is None else check_policy(policy)
        terms = Terms(chosen, self._patience, check_timeout(timeout), TIMEOUT)
        return self.retrier.run(
            name,
            terms,
            lambda seconds: self._translated(name, where, lambda: attempt(seconds)),
            resolve,
        )

    def _translated(self, name: str, where: str, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except FlameError:
            raise
        except FAILED as error:
            found = from_arrow(error, name, where)
            if isinstance(found, UnavailableError):
                self.pool.drop(where)
                self.memory.forget_endpoint(where)  # versions of a cache in memory begin anew
            raise found from error

    # ------------------------------------------------------------------ the client-side cache, life

    def cache_info(self) -> CacheInfo:
        """Return what is kept of objects that were read, and what that saved."""
        return self.memory.info()

    def clear(self) -> None:
        """Forget objects that were read."""
        self.memory.clear()
        self._fetches.forget()

    def close(self) -> None:
        """End waits and close connections. Idempotent."""
        self.retrier.close()
        self.pool.close()
        self.memory.clear()


def _entry(answer: transfer.Answer, known: Entry | None) -> Entry:
    """Return what is known after an answer that said something new."""
    if answer.table is not None:
        metadata = answer.table.schema.metadata or {}
        version = int(metadata.get(VERSION, b"0"))
        return Entry(Part(version, answer.table))
    patches = tuple(Part(row.version, row.data) for row in answer.patches)
    if answer.base is not None:
        return Entry(Part(answer.base.version, answer.base.data), patches)
    assert known is not None  # patches alone are an answer to a version
    return Entry(known.base, known.patches + patches)


def _ends_with(data: pa.Buffer, mark: bytes) -> bool:
    return bool(data.size >= len(mark) and data.slice(data.size - len(mark)).to_pybytes() == mark)


def _writable(value: Any) -> Any:
    flags = getattr(value, "flags", None)
    return value.copy() if flags is not None and hasattr(value, "__array_interface__") else value
