"""Receivers of signals: an inbox, a queue and a thread for each connected function.

Belongs here: which events a function receives, and when its thread ends. Does not belong here: the
signals (``informers.signals``) and the checks of ``connect`` (``informers.signal_checks``). Events
come from ``watching.hub`` through ``delivery.inbox`` and end in the connected function.
"""
