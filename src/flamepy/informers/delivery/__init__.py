"""From a subscription to a callback: queues, worker threads, calls, retries and their watchdog.

Belongs here: everything between the hub's call on the loop and user code on the informer's thread.
Does not belong here: signals (``receivers``), what survives a restart (``checkpoint``). Events come
from ``watching.hub`` into an ``inbox`` and end in ``invocation``.
"""
