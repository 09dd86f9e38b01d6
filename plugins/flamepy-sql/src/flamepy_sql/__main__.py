"""Print the statements that create the tables, for databases where the plugin may not do it."""

from __future__ import annotations

import argparse
import sys

from sqlalchemy.dialects import mysql, postgresql, sqlite

from flamepy_sql.schema import create_statements
from flamepy_sql.tables import STORES, make_tables

_DIALECTS = {
    "sqlite": sqlite.dialect,
    "postgresql": postgresql.dialect,
    "mysql": mysql.dialect,
    "mariadb": mysql.dialect,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the statements of one database; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flamepy_sql", description=__doc__)
    parser.add_argument("dialect", choices=sorted(_DIALECTS))
    parser.add_argument("--store", choices=STORES, default="latest")
    parser.add_argument("--prefix", default="flame_")
    parser.add_argument("--schema")
    given = parser.parse_args(arguments)
    tables = make_tables(given.store, given.prefix, given.schema)
    print("\n\n".join(create_statements(tables, _DIALECTS[given.dialect]())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
