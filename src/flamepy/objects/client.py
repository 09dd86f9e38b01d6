"""``ObjectClient``: everything a connection can do with the object cache, in the caller's thread.

Usable from several threads at once. Keys are checked before anything is sent. ``caller`` makes one
call, ``lost_write`` finds out what became of one whose answer was lost, files are ``files``'s.
"""

from __future__ import annotations

import builtins
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from flamepy.config import FlameContext
from flamepy.errors import ObjectNotFoundError
from flamepy.objects import codec, files, transfer
from flamepy.objects.batch import Batch, BatchOptions, check_items
from flamepy.objects.caller import CacheCaller
from flamepy.objects.faces import PARALLEL, Counted, Deserializer
from flamepy.objects.listing import ObjectInfo, list_objects
from flamepy.objects.lost_write import LostWrite
from flamepy.objects.shared_fetches import Fetches
from flamepy.objects.store import CacheInfo, Entry, ObjectMemory, Part
from flamepy.objects.transfer import Progress
from flamepy.rpc.retry.call_limits import check_policy
from flamepy.types import RetryPolicy
from flamepy.wire.objects import VERSION, ObjectKey, ObjectRef, Ticket, check_prefix, check_target


class ObjectClient(CacheCaller):
    """The calls of the object cache, made in the caller's thread.

    Args:
        context: where the cache is, its TLS files, and whether objects may be unpickled.
        policy, patience, on_ambiguous, memory: see ``CacheCaller``.
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
        super().__init__(
            context, policy=policy, patience=patience, on_ambiguous=on_ambiguous, memory=memory
        )
        self.allow_pickle = context.cache.allow_pickle
        self._tls = context.cache_tls
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
        where, payload = self.routes.configured, codec.encode(obj)
        attempt = self._sending(transfer.put_descriptor(key), where, payload, progress)
        made = self.call("PutObject", where, timeout, retry, attempt)
        return self.public_ref(made, where)

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
        find = LostWrite(self, ref, where, key, mark).find_update
        attempt = self._sending(transfer.put_descriptor(key), where, payload, progress)
        made = self.call("UpdateObject", where, timeout, retry, attempt, find)
        self.memory.forget(key)
        return self.public_ref(made, where)

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
        find = LostWrite(self, ref, where, key, mark).find_patch
        attempt = self._sending(transfer.patch_descriptor(key), where, payload, progress)
        made = self.call("PatchObject", where, timeout, retry, attempt, find)
        return self.public_ref(made, where)

    def _sending(
        self, target: Any, where: str, payload: codec.Payload, progress: Progress | None
    ) -> Callable[[float], ObjectRef]:
        """Return one try of a write."""
        pool = self.pool
        return lambda seconds: transfer.put(
            pool, where, target, payload, seconds=seconds, progress=progress
        )

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

    # ------------------------------------------------------------------ many at a time

    def put_many(
        self,
        key_prefix: str,
        objs: Iterable[object],
        *,
        parallel: int = PARALLEL,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Counted | None = None,
    ) -> builtins.list[ObjectRef]:
        """Store many objects, several at a time; see ``faces.ObjectCalls.put_many``."""
        return self.put_batch(
            key_prefix, objs, parallel=parallel, timeout=timeout, retry=retry, progress=progress
        ).run()

    def put_batch(
        self,
        key_prefix: str,
        objs: Iterable[object],
        *,
        retry: RetryPolicy | None = None,
        **options: Any,
    ) -> Batch[object, ObjectRef]:
        """Return what ``put_many`` runs, with its arguments checked."""
        check_prefix(key_prefix)
        check_items("objs", objs)
        if retry is not None:
            check_policy(retry)
        return Batch(
            "put_objects",
            objs,
            lambda obj, seconds: self.put(key_prefix, obj, timeout=seconds, retry=retry),
            BatchOptions(**options),
        )

    def get_many(
        self,
        refs: Iterable[ObjectRef],
        deserializer: Deserializer | None = None,
        *,
        copy: bool = False,
        allow_pickle: bool | None = None,
        parallel: int = PARALLEL,
        return_exceptions: bool = False,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Counted | None = None,
    ) -> builtins.list[Any]:
        """Return many objects, fetched several at a time; see ``faces.ObjectCalls.get_many``."""
        return self.get_batch(
            refs,
            deserializer,
            copy=copy,
            allow_pickle=allow_pickle,
            parallel=parallel,
            return_exceptions=return_exceptions,
            timeout=timeout,
            retry=retry,
            progress=progress,
        ).run()

    def get_batch(
        self,
        refs: Iterable[ObjectRef],
        deserializer: Deserializer | None = None,
        *,
        copy: bool = False,
        allow_pickle: bool | None = None,
        retry: RetryPolicy | None = None,
        **options: Any,
    ) -> Batch[ObjectRef, Any]:
        """Return what ``get_many`` runs, with its arguments checked."""
        check_items("refs", refs)
        if retry is not None:
            check_policy(retry)

        def get(ref: ObjectRef, seconds: float | None) -> Any:
            return self.get(
                ref,
                deserializer,
                copy=copy,
                allow_pickle=allow_pickle,
                timeout=seconds,
                retry=retry,
            )

        return Batch("get_objects", refs, get, BatchOptions(**options))

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


def _writable(value: Any) -> Any:
    flags = getattr(value, "flags", None)
    return value.copy() if flags is not None and hasattr(value, "__array_interface__") else value


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
