"""The object cache's functions under the official SDK's path ``flamepy.cache``.

The same functions as ``flamepy.core.cache``, where they are documented.
"""

from flamepy.core.cache import (
    ObjectRef,
    delete_objects,
    get_object,
    patch_object,
    put_object,
    update_object,
)

__all__ = [
    "ObjectRef",
    "delete_objects",
    "get_object",
    "patch_object",
    "put_object",
    "update_object",
]
