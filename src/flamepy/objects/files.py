"""Files in the object cache: uploads that stream from the disk, downloads that arrive whole or not.

A file travels as its bytes, without a format; clients of other languages read and write the same.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.host.paths import expanded
from flamepy.objects import transfer
from flamepy.objects.caller import CacheCaller
from flamepy.objects.transfer import Progress
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy
from flamepy.wire.objects import (
    OPAQUE_LIMIT,
    WILDCARD,
    ObjectKey,
    ObjectRef,
    Ticket,
    check_target,
)


def upload(
    client: CacheCaller,
    key_or_prefix: str,
    file_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Store a file's bytes under a full key, or under a new one below ``application/session``.

    Args:
        client: of a connection.
        key_or_prefix: where it goes.
        file_path: the file; it is read in pieces, and not held.
        timeout: seconds for everything; by default 300 for each try.
        retry: how the call is repeated, instead of as the connection says.
        progress: is called with bytes sent and bytes in all.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidArgumentError: the key breaks a rule, or the file is too large.
        InvalidStateError: the file changed its size meanwhile; nothing was stored.
        FlameError: the cache cannot be reached, ...
    """
    key = _new_key(key_or_prefix)
    path = expanded(file_path)
    if not path.is_file():
        raise FileNotFoundError(f"File not found: {path}")
    where = client.routes.configured

    def attempt(seconds: float) -> ObjectRef:
        size = path.stat().st_size
        if size > OPAQUE_LIMIT:
            raise InvalidArgumentError(
                f"{path} has {size} bytes; one object takes less than 2 GiB: split the file"
            )
        return transfer.send(
            client.pool,
            where,
            transfer.put_descriptor(key),
            transfer.SCHEMA,
            _read(path, size),
            size,
            seconds,
            progress,
        )

    made = client.call("PutObject", where, timeout, retry, attempt)
    client.memory.forget(key)
    return client.public_ref(made, where)


def _new_key(key_or_prefix: str) -> str:
    named = ObjectKey.from_path(check_target(key_or_prefix))
    if named.session_id == WILDCARD:
        raise InvalidArgumentError(
            f"object key {repr_of(key_or_prefix)}: a file goes to '<application>/<session>', or to "
            "'<application>/<session>/<object>'"
        )
    found = named if named.object_id is not None else named.with_generated_id()
    return found.to_key() or ""


def _read(path: Path, size: int) -> Iterator[pa.RecordBatch]:
    left = size
    with path.open("rb", buffering=0) as file:
        while left or not size:
            piece = file.read(min(transfer.CHUNK, left))
            if not piece and left:
                raise InvalidStateError(
                    f"{path} became shorter during the upload: {size - left} of {size} bytes were "
                    "there; nothing was stored"
                )
            left -= len(piece)
            yield transfer.message(pa.py_buffer(piece))
            if not size:
                break
        if file.read(1):
            raise InvalidStateError(f"{path} grew during the upload; nothing was stored")


def download(
    client: CacheCaller,
    ref: ObjectRef,
    dest_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an object's bytes to a file, which is there whole or not at all.

    Args:
        client: of a connection.
        ref: where the object is.
        dest_path: the file; one that is there is replaced when all has arrived.
        timeout: seconds for everything; by default 300 for each try.
        retry: how the call is repeated, instead of as the connection says.
        progress: is called with bytes written and bytes in all.

    Raises:
        ObjectNotFoundError: there is no such object.
        InvalidStateError: it was patched, or is a table, so it is no file.
        OSError: the file cannot be written.
        FlameError: the cache cannot be reached, ...
    """
    key, where = client.place(ref)
    path = expanded(dest_path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file to write")
    answer = client.call(
        "GetObject",
        where,
        timeout,
        retry,
        lambda seconds: transfer.get(client.pool, where, Ticket(key), seconds=seconds),
    )
    if answer.table is not None or answer.patches or answer.base is None:
        what = "is a table" if answer.table is not None else "was patched"
        raise InvalidStateError(f"object <{key}> {what}, so it is no file: read it by get_object")
    _write(path, answer.base.data, progress)


def _write(path: Path, data: pa.Buffer, progress: Progress | None) -> None:
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with made.open("xb", buffering=0) as file:
            view, done = memoryview(data), 0
            while done < len(view):
                done += file.write(view[done : done + transfer.CHUNK])
                if progress is not None:
                    progress(done, len(view))
        if made.stat().st_size != data.size:
            raise OSError(f"{made} has {made.stat().st_size} bytes of {data.size}")
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
