"""The cluster's state and what may become of it: rows, scheduling, checks. Pure."""
