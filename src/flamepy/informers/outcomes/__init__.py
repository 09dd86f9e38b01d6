"""What follows from how the handling of an event ended.

Belongs here: when a callback is called again (``retry_wait``, pure), when an informer that fails is
left alone (``breaker``, pure) and where its threads wait then (``gate``), what is noted of each
event (``history``, ``outcomes``), and what is said of a mistake (``mistakes``). Does not belong
here: the calls; those are ``delivery``.
"""
