"""The queue between threads. Imports nothing of flamepy.

``queue.SimpleQueue`` is not always one: gevent puts a queue between greenlets in its place, also
where threads are left alone (``patch_all(thread=False)``), and a thread that waits there fails.
"""

from __future__ import annotations

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # pragma: no cover  # another implementation than CPython
    from queue import Empty, SimpleQueue

__all__ = ["Empty", "SimpleQueue"]
