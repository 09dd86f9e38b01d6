"""The object cache as coroutines: the calls of ``core.cache``, made on a few threads of their own.

``Connection.objects`` has them for a connection; the functions use the process's implicit one, from
any event loop. A call that is cancelled is not waited for; what it sent stays sent. All need the
extra ``cache``, and say so.
"""

from __future__ import annotations

from typing import Any

from flamepy.objects.attached import client_of, on_worker
from flamepy.rpc.implicit import implicit_link
from flamepy.rpc.link import Link
from flamepy.wire.objects import ObjectRef


class Objects:
    """The object cache of a connection; arguments and errors as of ``objects.client.ObjectClient``.

    Args:
        link: of the connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(self, key_prefix: str, obj: Any, **options: Any) -> ObjectRef:
        """Store an object below ``application/session``."""
        return await on_worker(self._link, client_of(self._link).put, key_prefix, obj, **options)

    async def get(self, ref: ObjectRef, deserializer: Any = None, **options: Any) -> Any:
        """Return an object, or ``deserializer(base, patches)``, which runs on the worker."""
        return await on_worker(self._link, client_of(self._link).get, ref, deserializer, **options)

    async def update(self, ref: ObjectRef, new_obj: Any, **options: Any) -> ObjectRef:
        """Replace an object and drop its patches."""
        return await on_worker(self._link, client_of(self._link).update, ref, new_obj, **options)

    async def patch(self, ref: ObjectRef, delta: Any, **options: Any) -> ObjectRef:
        """Append a patch to an object."""
        return await on_worker(self._link, client_of(self._link).patch, ref, delta, **options)

    async def delete(self, key_prefix: str, **options: Any) -> None:
        """Delete an object, all of ``application/session``, or all of ``application/*``."""
        await on_worker(self._link, client_of(self._link).delete, key_prefix, **options)

    async def upload(self, key_or_prefix: str, file_path: Any, **options: Any) -> ObjectRef:
        """Store a file's bytes."""
        client = client_of(self._link)
        return await on_worker(self._link, client.upload, key_or_prefix, file_path, **options)

    async def download(self, ref: ObjectRef, dest_path: Any, **options: Any) -> None:
        """Write an object's bytes to a file, whole or not at all."""
        await on_worker(self._link, client_of(self._link).download, ref, dest_path, **options)


async def put_object(key_prefix: str, obj: Any, **options: Any) -> ObjectRef:
    """Store an object below ``application/session``; options as of ``core.put_object``."""
    return await Objects(implicit_link()).put(key_prefix, obj, **options)


async def get_object(ref: ObjectRef, deserializer: Any = None, **options: Any) -> Any:
    """Return an object, or ``deserializer(base, patches)``, which runs on a worker's thread."""
    return await Objects(implicit_link()).get(ref, deserializer, **options)


async def update_object(ref: ObjectRef, new_obj: Any, **options: Any) -> ObjectRef:
    """Replace an object and drop its patches."""
    return await Objects(implicit_link()).update(ref, new_obj, **options)


async def patch_object(ref: ObjectRef, delta: Any, **options: Any) -> ObjectRef:
    """Append a patch to an object."""
    return await Objects(implicit_link()).patch(ref, delta, **options)


async def delete_objects(key_prefix: str, **options: Any) -> None:
    """Delete an object, all of ``application/session``, or all of ``application/*``."""
    await Objects(implicit_link()).delete(key_prefix, **options)


async def upload_object(key_or_prefix: str, file_path: Any, **options: Any) -> ObjectRef:
    """Store a file's bytes."""
    return await Objects(implicit_link()).upload(key_or_prefix, file_path, **options)


async def download_object(ref: ObjectRef, dest_path: Any, **options: Any) -> None:
    """Write an object's bytes to a file, whole or not at all."""
    await Objects(implicit_link()).download(ref, dest_path, **options)
