"""Query the state that a reactor knows: listers, futures of tasks, the events of one task.

Belongs here: what a program asks for. Does not belong here: events for registered informers
(``delivery``). State comes from the hub's store, ends from the hub's listeners.
"""
