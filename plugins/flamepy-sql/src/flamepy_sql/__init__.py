"""Tasks, sessions and events of a Flame engine in SQLite, PostgreSQL, MySQL or MariaDB.

``SqlSink`` is the informer plugin ``sql``; ``rows`` makes rows of events, ``statements`` the SQL,
``writer`` runs it.
"""

from flamepy_sql.sink import SqlSink

__all__ = ["SqlSink"]
