"""Events on their way to another system: the ``Sink`` that users subclass, and what waits for it.

Belongs here: what is stored of such an event (``entry``), what its author chooses (``options``),
which entry may be sent next (``schedule``) and what an attempt means (``settlement``), the table
(``table``), and what programs and commands do with it (``box``). Does not belong here: threads;
those are in ``senders``. The table is in the checkpoint's file, so that an event is stored in the
transaction that stores it as handled.
"""
