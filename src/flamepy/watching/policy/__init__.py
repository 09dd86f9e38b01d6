"""When to read what: poll rate, completions, resyncs, limits. Pure; time is an argument.

Belongs here: decisions over the records of ``state``. Does not belong here: carrying them out;
that is ``io``.
"""
