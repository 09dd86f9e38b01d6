"""Rules: which are armed for which task or session, and events for what did not happen in time.

Belongs here: what breaks a rule (``overdue``), which rules are armed (``rule_book``, pure). Does
not belong here: the rules themselves, which users make with ``informers.expect``; delivering
``on_overdue``, and the clock; that is ``delivery``.
"""
