"""The object cache as coroutines: the calls of ``core.cache``, made on a few threads of their own.

``Connection.objects`` has them for a connection; the functions use the process's implicit one, from
any event loop. A call that is cancelled is not waited for; what it sent stays sent. Arguments and
errors are those of ``objects.client.ObjectClient``. All need the extra ``cache``, and say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flamepy.objects.attached import client_of, on_worker
from flamepy.rpc.implicit import implicit_link
from flamepy.rpc.link import Link
from flamepy.types import RetryPolicy
from flamepy.wire.objects import ObjectRef

Progress = Callable[[int, int], object]
Deserializer = Callable[[Any, list[Any]], Any]


class Objects:
    """The object cache of a connection.

    Args:
        link: of the connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def put(
        self,
        key_prefix: str,
        obj: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store an object below ``application/session``."""
        call = client_of(self._link).put
        return await on_worker(
            self._link, call, key_prefix, obj, timeout=timeout, retry=retry, progress=progress
        )

    async def get(
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
        """Return an object, or ``deserializer(base, patches)``, which runs on the worker."""
        return await on_worker(
            self._link,
            client_of(self._link).get,
            ref,
            deserializer,
            copy=copy,
            allow_pickle=allow_pickle,
            timeout=timeout,
            retry=retry,
            progress=progress,
        )

    async def update(
        self,
        ref: ObjectRef,
        new_obj: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Replace an object and drop its patches."""
        call = client_of(self._link).update
        return await on_worker(
            self._link, call, ref, new_obj, timeout=timeout, retry=retry, progress=progress
        )

    async def patch(
        self,
        ref: ObjectRef,
        delta: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Append a patch to an object."""
        call = client_of(self._link).patch
        return await on_worker(
            self._link, call, ref, delta, timeout=timeout, retry=retry, progress=progress
        )

    async def delete(
        self, key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Delete an object, all of ``application/session``, or all of ``application/*``."""
        call = client_of(self._link).delete
        await on_worker(self._link, call, key_prefix, timeout=timeout, retry=retry)

    async def upload(
        self,
        key_or_prefix: str,
        file_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store a file's bytes."""
        call = client_of(self._link).upload
        return await on_worker(
            self._link, call, key_or_prefix, file_path,
            timeout=timeout, retry=retry, progress=progress,
        )  # fmt: skip

    async def download(
        self,
        ref: ObjectRef,
        dest_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write an object's bytes to a file, whole or not at all."""
        call = client_of(self._link).download
        await on_worker(
            self._link, call, ref, dest_path, timeout=timeout, retry=retry, progress=progress
        )


async def put_object(
    key_prefix: str,
    obj: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Store an object below ``application/session``."""
    objects = Objects(implicit_link())
    return await objects.put(key_prefix, obj, timeout=timeout, retry=retry, progress=progress)


async def get_object(
    ref: ObjectRef,
    deserializer: Deserializer | None = None,
    *,
    copy: bool = False,
    allow_pickle: bool | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> Any:
    """Return an object, or ``deserializer(base, patches)``, which runs on a worker's thread."""
    return await Objects(implicit_link()).get(
        ref,
        deserializer,
        copy=copy,
        allow_pickle=allow_pickle,
        timeout=timeout,
        retry=retry,
        progress=progress,
    )


async def update_object(
    ref: ObjectRef,
    new_obj: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Replace an object and drop its patches."""
    objects = Objects(implicit_link())
    return await objects.update(ref, new_obj, timeout=timeout, retry=retry, progress=progress)


async def patch_object(
    ref: ObjectRef,
    delta: Any,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Append a patch to an object."""
    objects = Objects(implicit_link())
    return await objects.patch(ref, delta, timeout=timeout, retry=retry, progress=progress)


async def delete_objects(
    key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> None:
    """Delete an object, all of ``application/session``, or all of ``application/*``."""
    await Objects(implicit_link()).delete(key_prefix, timeout=timeout, retry=retry)


async def upload_object(
    key_or_prefix: str,
    file_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> ObjectRef:
    """Store a file's bytes."""
    objects = Objects(implicit_link())
    return await objects.upload(
        key_or_prefix, file_path, timeout=timeout, retry=retry, progress=progress
    )


async def download_object(
    ref: ObjectRef,
    dest_path: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an object's bytes to a file, whole or not at all."""
    objects = Objects(implicit_link())
    await objects.download(ref, dest_path, timeout=timeout, retry=retry, progress=progress)
