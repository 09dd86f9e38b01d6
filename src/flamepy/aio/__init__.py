"""The calls as coroutines: the one implementation, over ``rpc`` and ``watching``.

::

    async with await flamepy.aio.connect("http://127.0.0.1:8080") as connection:
        session = await connection.create_session("byte-service")
        print(await session.invoke(b"hello"))

A connection belongs to the event loop that first uses it. ``flamepy.core`` is the synchronous
form of the same objects.
"""

from flamepy.aio.cache import (
    Objects,
    delete_objects,
    download_object,
    get_object,
    get_objects,
    patch_object,
    put_object,
    put_objects,
    update_object,
    upload_object,
)
from flamepy.aio.connection import Connection, connect
from flamepy.aio.session import Session, TaskHandle

__all__ = [
    "Connection",
    "Objects",
    "Session",
    "TaskHandle",
    "connect",
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
