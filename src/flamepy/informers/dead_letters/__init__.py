"""Events whose handling failed for good: kept in a file, looked at, tried again, dropped.

Belongs here: what is kept of such an event (``letter``), the table (``table``), and what programs
and commands do with it (``box``). Does not belong here: why a callback failed, and how often it is
called again; that is ``delivery``. The table is in the checkpoint's file, so that an event is
stored as dead in the transaction that stores it as handled.
"""
