"""Threads and what they take from: queues, worker threads, and the loops of coroutines.

Belongs here: the bounded queue between the loop and an informer's threads (``queue``), which of its
entries begins next (``key_queue``, pure), the threads (``worker``, ``worker_pool``), the loops on
which coroutines run (``async_loop``), and which thread waits for which (``thread_waits``). Does not
belong here: what an item means; that is ``delivery``, ``receivers`` and ``queries``.
"""
