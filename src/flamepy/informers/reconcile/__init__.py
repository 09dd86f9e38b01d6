"""Reconcilers: from events to keys, and from keys to runs of ``reconcile``.

Belongs here: which key is due, which one runs, when one that failed is tried again, and the threads
that run them. Does not belong here: how events reach an informer; that is ``delivery``, which calls
a ``Reconciler`` as any other informer. The path of an event: ``reconciler`` (asks for its keys) ->
``work_queue`` (pure: one entry a key) -> ``runs`` (threads) -> the user's ``reconcile``.
"""
