"""Retry decisions: which error is retried, for how long, and the loop that does it."""
