"""The object cache: the guide's functions, on the process's implicit connection.

Blocking, in the caller's thread; from any thread but the reactor's. ``Connection.objects`` has the
same for a connection of its own, ``flamepy.aio`` as coroutines. All need the extra ``cache``, and
say so. Reading an object may run code of its writer (docs/objects.md#pickle).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flamepy.config import FlameClientCache as FlameClientCache
from flamepy.config import FlameClientTls as FlameClientTls
from flamepy.config import FlameContext as FlameContext
from flamepy.objects.attached import client_of
from flamepy.objects.faces import ObjectCalls, blocking
from flamepy.rpc.implicit import implicit_link
from flamepy.types import RetryPolicy
from flamepy.wire.objects import WILDCARD, ObjectKey, ObjectRef

if TYPE_CHECKING:
    from flamepy.objects.store import CacheInfo

__all__ = [
    "WILDCARD_SESSION",
    "ObjectKey",
    "ObjectRef",
    "Ref",
    "cache_info",
    "clear",
    "delete_objects",
    "download_object",
    "get_object",
    "get_objects",
    "patch_object",
    "put_object",
    "put_objects",
    "update_object",
    "upload_object",
]

WILDCARD_SESSION = WILDCARD  # of a prefix: all sessions of an application
Ref = ObjectRef  # the name of SDKs after 0.6

put_object = blocking("put_object", __name__, ObjectCalls.put)
get_object = blocking("get_object", __name__, ObjectCalls.get)
put_objects = blocking("put_objects", __name__, ObjectCalls.put_many)
get_objects = blocking("get_objects", __name__, ObjectCalls.get_many)
update_object = blocking("update_object", __name__, ObjectCalls.update)
patch_object = blocking("patch_object", __name__, ObjectCalls.patch)
upload_object = blocking("upload_object", __name__, ObjectCalls.upload)
download_object = blocking("download_object", __name__, ObjectCalls.download)


def delete_objects(
    key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> None:
    """Delete an object, all of ``application/session``, or all of ``application/*``."""
    client_of(implicit_link()).delete(key_prefix, timeout=timeout, retry=retry)


def cache_info() -> CacheInfo:
    """Return what is kept of objects that were read, and what that saved."""
    return client_of(implicit_link()).cache_info()


def clear() -> None:
    """Forget objects that were read: the next reads fetch everything."""
    client_of(implicit_link()).clear()
