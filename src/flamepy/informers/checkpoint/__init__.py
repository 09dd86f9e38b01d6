"""What survives a restart: what was delivered to each informer, in a SQLite file.

Belongs here: the file, its tables, and the comparison of the past with the present state. Does not
belong here: what the engine stores; that is read again. ``delivery.registration`` asks before a
callback and reports after it; ``reactor_checkpoint`` loads the past.
"""
