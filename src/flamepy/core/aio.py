"""The calls as coroutines under the path that SDKs after 0.6 have; no code of its own."""

from flamepy.aio import (
    Connection,
    Objects,
    Session,
    TaskHandle,
    connect,
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
