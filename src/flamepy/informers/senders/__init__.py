"""The threads that send what waits in outboxes.

Belongs here: the outbox of a registered sink (``outbox``), its work on the table (``mailroom``),
and what is in memory where there is no file (``memory_file``). Does not belong here: what is sent
next and what an outcome means; the room ``outbox`` decides that.
"""
