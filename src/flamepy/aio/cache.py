"""The object cache as coroutines: the calls of ``core.cache``, made on a few threads of their own.

``Connection.objects`` has them for a connection; the functions use the process's implicit one, from
any event loop. A call that is cancelled is not waited for; what it sent stays sent. Arguments and
errors are those of ``objects.faces.ObjectCalls``. All need the extra ``cache``, and say so.
"""

from __future__ import annotations

from flamepy.objects.attached import client_of, on_worker
from flamepy.objects.faces import (
    ObjectCalls,
    awaited,
    awaited_batch,
    awaited_batch_method,
    awaited_method,
)
from flamepy.rpc.implicit import implicit_link
from flamepy.rpc.link import Link
from flamepy.types import RetryPolicy


class Objects:
    """The object cache of a connection.

    Args:
        link: of the connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    put = awaited_method("Objects.put", __name__, ObjectCalls.put)
    get = awaited_method("Objects.get", __name__, ObjectCalls.get)
    put_many = awaited_batch_method("Objects.put_many", __name__, ObjectCalls.put_many)
    get_many = awaited_batch_method("Objects.get_many", __name__, ObjectCalls.get_many)
    update = awaited_method("Objects.update", __name__, ObjectCalls.update)
    patch = awaited_method("Objects.patch", __name__, ObjectCalls.patch)
    upload = awaited_method("Objects.upload", __name__, ObjectCalls.upload)
    download = awaited_method("Objects.download", __name__, ObjectCalls.download)

    async def delete(
        self, key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Delete an object, all of ``application/session``, or all of ``application/*``."""
        call = client_of(self._link).delete
        await on_worker(self._link, call, key_prefix, timeout=timeout, retry=retry)


put_object = awaited("put_object", __name__, ObjectCalls.put)
get_object = awaited("get_object", __name__, ObjectCalls.get)
put_objects = awaited_batch("put_objects", __name__, ObjectCalls.put_many)
get_objects = awaited_batch("get_objects", __name__, ObjectCalls.get_many)
update_object = awaited("update_object", __name__, ObjectCalls.update)
patch_object = awaited("patch_object", __name__, ObjectCalls.patch)
upload_object = awaited("upload_object", __name__, ObjectCalls.upload)
download_object = awaited("download_object", __name__, ObjectCalls.download)


async def delete_objects(
    key_prefix: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> None:
    """Delete an object, all of ``application/session``, or all of ``application/*``."""
    await Objects(implicit_link()).delete(key_prefix, timeout=timeout, retry=retry)
