"""Receivers of signals: a queue and a thread each, and the events that they get."""
