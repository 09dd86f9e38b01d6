"""The data folder: a lock, a database, and the writes in order."""
