"""Which database, how to connect to it, and how to speak of it without its secrets. Pure."""

from __future__ import annotations

import math
from importlib.util import find_spec
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from flamepy.errors import ConfigError, InvalidArgumentError, MissingExtraError
from flamepy_sql.statements import DIALECTS

# What is taken where the URL names no driver: module, and the extra that brings it.
_DRIVERS = {
    "postgresql": ("psycopg", "postgresql"),
    "mysql": ("pymysql", "mysql"),
    "mariadb": ("pymysql", "mysql"),
}
_MAX_TEXT = 500


class Target:
    """A database, from its URL.

    No method, attribute or text of it but ``url`` has a password; ``url`` is for the engine alone.

    Attributes:
        arguments: of the driver's ``connect``.
        begin: the statement that begins a transaction's work; None for none.
        dialect: SQLAlchemy's name of the kind of database.
        label: what logs and errors call it.
        url: the URL, with the driver.

    Args:
        url: a URL of SQLAlchemy's form.
        password: the password, if it is not in the URL.
        timeout: seconds for connecting, and for a statement.

    Raises:
        ConfigError: it is not such a URL, or of a database that the plugin does not write.
        MissingExtraError: the driver is not installed.
    """

    __slots__ = ("_secrets", "arguments", "begin", "dialect", "label", "url")

    def __init__(self, url: str, *, password: str | None = None, timeout: float = 30.0) -> None:
        made = _parsed(url)
        if password is not None:
            made = made.set(password=password)
        self.dialect = made.get_backend_name()
        self.url = _with_driver(made, self.dialect)
        self.label = _label(made)
        self._secrets = _secrets_of(made)
        self.arguments = _arguments(self.url, self.dialect, timeout)
        self.begin = _begin(self.dialect, timeout)

    def __repr__(self) -> str:
        return f"Target({self.label!r})"

    def text_of(self, error: BaseException) -> str:
        """Return an error as one line without secrets, SQL, or the values of rows."""
        cause: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            cause = error.orig
        lines = str(cause).strip().splitlines() or [""]
        text = f"{type(cause).__name__}: {lines[0]}"[:_MAX_TEXT]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _parsed(url: str) -> URL:
    if not isinstance(url, str) or not url:
        raise ConfigError("flamepy-sql needs url, such as postgresql://user@host/database")
    try:
        made = make_url(url)
        dialect = made.get_backend_name()
    except (ArgumentError, ValueError):
        # The text of these errors has the URL, and so the password.
        raise ConfigError(
            "flamepy-sql: url is not of the form dialect://user:password@host:port/database"
            " (characters such as @ / : # of a password are written as %40 %2F %3A %23)"
        ) from None
    if dialect not in DIALECTS:
        raise ConfigError(
            f"flamepy-sql writes {', '.join(DIALECTS)}; the url is of {dialect[:40]!r}"
        )
    if dialect == "sqlite" and made.database in (None, "", ":memory:"):
        raise ConfigError(
            "flamepy-sql: url names a database in memory, which ends with the process;"
            " name a file: sqlite:////var/lib/flame/events.db"
        )
    return made


def _with_driver(url: URL, dialect: str) -> URL:
    if "+" in url.drivername or dialect not in _DRIVERS:
        return url
    module, extra = _DRIVERS[dialect]
    if find_spec(module) is None:
        raise MissingExtraError(
            f"flamepy-sql needs {module} for {dialect}: pip install 'flamepy-sql[{extra}]'"
        )
    return url.set(drivername=f"{dialect}+{module}")


def _label(url: URL) -> str:
    host = "" if url.host is None else url.host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.get_backend_name()}://{host}{port}/{url.database or ''}"


def _secrets_of(url: URL) -> tuple[str, ...]:
    """Return each form of each text that must not be shown."""
    values = [str(url.password)] if url.password else []
    for name, value in url.query.items():
        if any(part in name.lower() for part in ("pass", "secret", "token", "key")):
            values += [value] if isinstance(value, str) else list(value)
    forms = {form for one in values if one for form in (one, quote(one, safe=""), quote_plus(one))}
    return tuple(sorted(forms, key=len, reverse=True))


def _arguments(url: URL, dialect: str, timeout: float) -> dict[str, object]:
    """Return arguments of the driver's ``connect``; what the URL's query says wins."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidArgumentError(f"timeout must be a number of seconds, got {timeout!r}")
    if not 0 < timeout <= 3600:
        raise InvalidArgumentError(f"timeout must be above 0 s and at most 3600 s, got {timeout}")
    whole = max(1, math.ceil(timeout))
    driver = url.drivername.partition("+")[2]
    given: dict[str, object] = {}
    if dialect == "sqlite":
        given = {"timeout": timeout}
    elif driver in ("psycopg", "psycopg2"):
        given = {
            "connect_timeout": max(2, whole),  # libpq takes 1 for 2
            "tcp_user_timeout": _millis(timeout),
            "application_name": "flamepy-sql",
        }
    elif driver == "pymysql":
        given = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), whole)
    return {name: value for name, value in given.items() if name not in url.query}


def _begin(dialect: str, timeout: float) -> str | None:
    """Return the settings of a transaction that ``connect`` cannot make: a pooler keeps none.

    A prepared lookup whose plan is kept was planned when the table was small: it reads all of the
    table, and gets slower with every batch.
    """
    if dialect != "postgresql":
        return None
    limit = f"SET LOCAL statement_timeout = {_millis(timeout)}"
    return f"{limit}; SET LOCAL plan_cache_mode = force_custom_plan"


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))
