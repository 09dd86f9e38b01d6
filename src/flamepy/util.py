"""``short_name`` under the official SDK's path ``flamepy.util``."""

from flamepy.aio.connection import short_name

__all__ = ["short_name"]
