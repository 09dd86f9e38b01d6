"""Real servers of PostgreSQL and MariaDB, for tests and benchmarks: in a folder, on a socket in it.

Servers refuse to run as root; then another user has the folder and runs the programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

PASSWORD = "canary-pass/w@rd"
SYSTEM = ("system_tables", "performance_tables", "system_tables_data")  # MariaDB's own tables
LEFT_OUT = "is not installed here: its tests are left out (Debian's package {} has it)"


def programs_of(name: str, *, among: str = "") -> Path | None:
    """Return the folder of a program, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) if among else []
    found = shutil.which(
        name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"], "/usr/sbin"])
    )
    return None if found is None else Path(found).resolve().parent


class Server(ABC):
    """A server's process and its folder; ``kill``, ``stop`` and ``start`` as often as wanted."""

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.user = "nobody" if os.geteuid() == 0 else None
        # TMPDIR may be a folder that only root may enter.
        parent = None if self.user is None else "/tmp"
        self.folder = Path(tempfile.mkdtemp(prefix="flamepy-sql-", dir=parent))
        self._environ = {**os.environ, "TMPDIR": str(self.folder)}
        self._process: subprocess.Popen[bytes] | None = None
        self._names = 0
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    @abstractmethod
    def url(self, database: str) -> str:
        """See the subclasses."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """See the subclasses."""

    @abstractmethod
    def initialize(self) -> None:
        """See the subclasses."""

    def boot(self) -> Server:
        try:
            self.initialize()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def run(self, *command: str, given: str | None = None) -> None:
        done = subprocess.run(
            command,
            user=self.user,
            cwd=self.folder,
            env=self._environ,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        limit = time.monotonic() + 60
        self._launch()
        while True:
            try:
                return self.execute(self.first, "SELECT 1")
            except OperationalError:
                assert time.monotonic() < limit, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.02)
            assert self._process is not None
            if self._process.poll() is not None:
                # Processes of a PostgreSQL that was killed may not have ended yet.
                self._launch()

    def _launch(self) -> None:
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                user=self.user,
                cwd=self.folder,
                env=self._environ,
                stdout=output,
                stderr=output,
            )

    first = ""  # a database that always exists
    orderly = signal.SIGTERM  # ends it without waiting for clients
    quick = signal.SIGKILL  # ends it without delay, and leaves no shared memory

    def execute(self, database: str, *statements: str) -> None:
        engine = create_engine(self.url(database), poolclass=NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def database(self) -> str:
        """Create a database and return its URL."""
        self._names += 1
        name = f"test{self._names}"
        self.execute(self.first, f"CREATE DATABASE {name}")
        return self.url(name)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End the process; by SIGKILL as a crash does."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        self.end(self.quick)
        shutil.rmtree(self.folder)


class PostgreSql(Server):
    """PostgreSQL; ``durable`` has it wait for the disk, as in production."""

    first = "postgres"
    orderly = signal.SIGINT
    quick = signal.SIGQUIT

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__(durable=durable)
        found = programs_of("initdb", among="postgresql")
        assert found is not None
        self._bin = found
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # within a folder that is the user's alone
        data = str(self.folder / "data")
        self._initialize = (
            str(found / "initdb"), "-D", data, "-U", "flame", "--no-sync", "-E", "UTF8",
            "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}",
        )  # fmt: skip

    def initialize(self) -> None:
        self.run(*self._initialize)

    def command(self) -> Sequence[str]:
        return (
            str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder),
            "-c", "listen_addresses=", "-c", f"fsync={'on' if self.durable else 'off'}",
        )  # fmt: skip

    def url(self, database: str) -> str:
        return (
            f"postgresql+psycopg://flame:{quote(PASSWORD, safe='')}@/{database}?host={self.folder}"
        )


class MariaDb(Server):
    """MariaDB."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__(durable=durable)
        found = programs_of("mariadbd")
        assert found is not None
        self._server = found / "mariadbd"

    def initialize(self) -> None:
        (self.folder / "data").mkdir()
        if self.user is not None:
            shutil.chown(self.folder / "data", self.user)
        # The package of the server alone lacks a program that mariadb-install-db needs.
        tables = [Path("/usr/share/mysql", f"mysql_{one}.sql").read_text() for one in SYSTEM]
        start = ("CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket=NULL;")
        self.run(*self.command(), "--bootstrap", given="\n".join((*start, *tables)))
        first_user = self.folder / "user.sql"
        first_user.write_text(
            f"CREATE USER IF NOT EXISTS flame@localhost IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON *.* TO flame@localhost;\n"
        )

    def command(self) -> Sequence[str]:
        data, socket = self.folder / "data", self.folder / "socket"
        return (
            str(self._server), "--no-defaults", f"--datadir={data}", f"--socket={socket}",
            "--skip-networking", f"--pid-file={self.folder / 'pid'}",
            f"--innodb-flush-log-at-trx-commit={int(self.durable)}",
            *([f"--init-file={user}"] if (user := self.folder / "user.sql").exists() else ()),
        )  # fmt: skip

    def url(self, database: str) -> str:
        secret = quote(PASSWORD, safe="")
        return f"mariadb+pymysql://flame:{secret}@/{database}?unix_socket={self.folder / 'socket'}"


SERVERS: dict[str, tuple[type[Server], str, str]] = {
    "postgresql": (PostgreSql, "initdb", "postgresql"),
    "mariadb": (MariaDb, "mariadbd", "mariadb-server-core"),
}


def missing(name: str) -> str | None:
    """Return why a server cannot be started here, in one line; None if it can."""
    _, program, package = SERVERS[name]
    if programs_of(program, among=name if name == "postgresql" else "") is not None:
        return None
    return f"{name} {LEFT_OUT.format(package)}"


def started(name: str, *, durable: bool = False) -> Server:
    """Return a running server; the caller closes it."""
    return SERVERS[name][0](durable=durable).boot()


def server_of(name: str, servers: dict[str, Server]) -> Server:
    """Return the running server of a kind, started now if it is the first use; or skip."""
    reason = missing(name)
    if reason is not None:
        pytest.skip(reason)
    if name not in servers:
        servers[name] = started(name)
    return servers[name]
