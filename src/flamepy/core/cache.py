"""The object cache: the guide's functions, on the process's implicit connection.

Blocking, in the caller's thread; from any thread but the reactor's. ``Connection.objects`` has the
same for a connection of its own, ``flamepy.aio`` as coroutines. All need the extra ``cache``, and
say so. Reading an object may run code of its writer (docs/objects.md#pickle).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flamepy.objects.attached import client_of
from flamepy.rpc.implicit import implicit_link
from flamepy.types import RetryPolicy
from flamepy.wire.objects import WILDCARD, ObjectKey, ObjectRef

if TYPE_CHECKING:
    from flamepy.objects.store import CacheInfo

__all__ = [
    "WILDCARD_SESSION",
    "ObjectKey",
    "ObjectRef",
    "cache_info",
    "clear",
    "delete_objects",
    "download_object",
    "get_object",
    "patch_object",
    "put_object",
    "update_object",
    "upload_object",
]

WILDCARD_SESSION = WILDCARD  # of a prefix: all sessions of an application
Progress = Callable[[int, int], object]


def put_object(
    key_prefix: str,
    obj: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Store an object below ``application/session``; see ``objects.client.ObjectClient.put``."""
    client = client_of(implicit_link())
    return client.put(key_prefix, obj, timeout=timeout, retry=retry, progress=progress)


def get_object(
    ref: ObjectRef,
    deserializer: Callable[[Any, list[Any]], Any] | None = None,
    *,
    copy: bool = False,
    allow_pickle: bool | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> Any:
    """Return an object, or ``deserializer(base, patches)``; see ``ObjectClient.get``."""
    return client_of(implicit_link()).get(
        ref,
        deserializer,
        copy=copy,
        allow_pickle=allow_pickle,
        timeout=timeout,
        retry=retry,
        progress=progress,
    )


def update_object(
    ref: ObjectRef,
    new_obj: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Replace an object and drop its patches; see ``ObjectClient.update``."""
    client = client_of(implicit_link())
    return client.update(ref, new_obj, timeout=timeout, retry=retry, progress=progress)


def patch_object(
    ref: ObjectRef,
    delta: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Append a patch to an object; see ``ObjectClient.patch``."""
    client = client_of(implicit_link())
    return client.patch(ref, delta, timeout=timeout, retry=retry, progress=progress)


def delete_objects(
    key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> None:
    """Delete an object, all of ``application/session``, or all of ``application/*``."""
    client_of(implicit_link()).delete(key_prefix, timeout=timeout, retry=retry)


def upload_object(
    key_or_prefix: str,
    file_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Store a file's bytes; see ``objects.files.upload``."""
    client = client_of(implicit_link())
    return client.upload(key_or_prefix, file_path, timeout=timeout, retry=retry, progress=progress)


def download_object(
    ref: ObjectRef,
    dest_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an object's bytes to a file, whole or not at all; see ``objects.files.download``."""
    client = client_of(implicit_link())
    client.download(ref, dest_path, timeout=timeout, retry=retry, progress=progress)


def cache_info() -> CacheInfo:
    """Return what is kept of objects that were read, and what that saved."""
    return client_of(implicit_link()).cache_info()


def clear() -> None:
    """Forget objects that were read: the next reads fetch everything."""
    client_of(implicit_link()).clear()
