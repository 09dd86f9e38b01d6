"""Measure plugins/flamepy-sql: events a second and CPU an event, on each database that is here.

``python benchmarks/sql.py [PART]...`` prints a table of each part:

- ``send``: events that one thread writes with ``SqlSink.send``, for batches of 1, 100 and 1,000
  and for each ``store``; ends of different tasks. Servers wait for the disk, as in production;
- ``whole``: from an observation by a reactor with a checkpoint, through the outbox, to the row;
  beside an informer with an empty callback and the same checkpoint. CPU is this process's alone;
- ``room``: bytes that a task takes in the database;
- ``size``: what an installation adds to one of flamepy-informers, in MB.

It needs flamepy-sql with its drivers, and is of a fresh process each. The load of the machine is
printed; look at ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flamepy.informers import OutboxEntry

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(Path(__file__).parent), str(ROOT / "plugins" / "flamepy-sql" / "tests")]

DATABASES = ("sqlite", "postgresql", "mariadb")
STORES = ("latest", "events", "both")
EVENTS = {1: 300, 100: 20_000, 1_000: 20_000}  # by batch
WHOLE = 10_000
ROUNDS = 3
LIMIT = 600.0  # seconds until a part counts as stuck
PAUSE = threading.Event()  # never set


@contextmanager
def database(name: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    import sql_servers

    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/flame.db"
        return
    server = sql_servers.started(name, durable=True)
    try:
        yield server.database()
    finally:
        server.close()


def entries(count: int) -> list[OutboxEntry]:
    """Return ends of different tasks, of ten sessions in turn."""
    from flamepy.informers import EventKind, OutboxEntry, TaskEvent
    from flamepy.types import Task, TaskState

    born = datetime(2026, 1, 1, tzinfo=timezone.utc)
    made = []
    for number in range(count):
        ended = born + timedelta(milliseconds=number)
        task = Task(str(number), f"s{number % 10}", TaskState.SUCCEED, born, completion_time=ended)
        event = TaskEvent(
            kind=EventKind.UPDATED, task=task, application="app", endpoint="http://127.0.0.1:8080"
        )
        made.append(OutboxEntry(id=number, key=event.key, event=event, created=ended))
    return made


def rate(count: int, start: float, cpu: float) -> dict[str, float]:
    """Return events a second, and microseconds of CPU an event."""
    return {
        "per_s": count / (time.perf_counter() - start),
        "us_cpu": 1e6 * (time.process_time() - cpu) / count,
    }


# ---------------------------------------------------------------------- send


def send(name: str, store: str, batch: str) -> dict[str, float]:
    """Return the rate of one sender with a database, a store and a size of batches."""
    from flamepy_sql import SqlSink

    size = int(batch)
    made = entries(EVENTS[size])
    with database(name) as url:
        sink = SqlSink(url=url, store=store)
        sink.open()
        sink.send(made[:1])
        start, cpu = time.perf_counter(), time.process_time()
        for at in range(0, len(made), size):
            outcomes = sink.send(made[at : at + size])
            assert not any(one.error for one in outcomes), outcomes[0]
        found = rate(len(made), start, cpu)
        sink.close()
    return found


def show_send(rounds: int) -> None:
    """Print the rates of all databases, stores and batches."""
    rows = []
    for name in present():
        for store in STORES:
            row: list[object] = [name, store]
            for size in EVENTS:
                found = [part("send", name, store, str(size)) for _ in range(rounds)]
                row.append(round(statistics.median(one["per_s"] for one in found)))
                row.append(round(statistics.median(one["us_cpu"] for one in found)))
            rows.append(row)
    heads = " ".join(f"{size}:events/s us_CPU" for size in EVENTS)
    table(f"database store {heads}", rows)


# ---------------------------------------------------------------------- whole


def whole(name: str, batch: str) -> dict[str, float]:
    """Return the rate from an observation to the row; of an empty callback with ``none``."""
    from flamepy.informers import Reactor
    from flamepy.testing import ScriptedConnection

    with (
        tempfile.TemporaryDirectory() as folder,
        database("sqlite" if name == "none" else name) as url,
        ScriptedConnection() as connection,
        Reactor(connection=connection, checkpoint=Path(folder, "checkpoint.db")) as reactor,
    ):
        from handlers import add_sessions, observe

        add_sessions(connection, 8)
        informer, finished = counting(name, url, int(batch))
        reactor.register(informer, uid="sink", queue_size=WHOLE).wait_synced(30)
        start, cpu = observe(connection, 8, WHOLE)
        limit = time.monotonic() + LIMIT
        while not finished():
            assert time.monotonic() < limit
            PAUSE.wait(0.005)
        return rate(WHOLE, start, cpu)


def counting(name: str, url: str, batch: int) -> tuple[Any, Any]:
    """Return an informer, and a function that returns True when it has handled everything."""
    from flamepy_sql import SqlSink

    from flamepy.informers import TaskEvent, TaskInformer

    if name == "none":
        handled = [0]

        class Nothing(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                handled[0] += 1

        return Nothing(), lambda: handled[0] >= WHOLE
    sent = [0]

    class Counting(SqlSink):
        def send(self, batch: Any) -> Any:
            outcomes = super().send(batch)
            sent[0] += sum(1 for one in batch if one.event.to_dict()["type"] == "task")
            return outcomes

    return Counting(url=url, outbox={"batch_size": batch}), lambda: sent[0] >= WHOLE


def show_whole(rounds: int) -> None:
    """Print the rates of the whole path."""
    rows = []
    for name in ("none", *present()):
        for size in ("100", "1000") if name != "none" else ("-1",):
            found = [part("whole", name, size) for _ in range(rounds)]
            rates = [statistics.median(one[unit] for one in found) for unit in ("per_s", "us_cpu")]
            rows.append([name, size if name != "none" else "-", *map(round, rates)])
    table("database batch events/s us_CPU", rows)


# ---------------------------------------------------------------------- room and size


def room(name: str, store: str) -> dict[str, float]:
    """Return the bytes of a task that was PENDING, RUNNING and SUCCEED."""
    import made as histories
    from flamepy_sql import SqlSink
    from sqlalchemy import create_engine, text

    count = 10_000
    with database(name) as url:
        sink = SqlSink(url=url, store=store)
        sink.open()
        empty = used(url)
        for number in range(0, count, 100):
            sink.send(
                [
                    one
                    for id in range(number, number + 100)
                    for one in (
                        histories.task(histories.PENDING, 1, id=str(id)),
                        histories.task(histories.RUNNING, 2, id=str(id), old=histories.PENDING),
                        histories.task(histories.SUCCEED, 3, id=str(id), old=histories.RUNNING),
                    )
                ]
            )
        sink.close()
        if name == "postgresql":
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("VACUUM FULL"))
            engine.dispose()
        return {"bytes": (used(url) - empty) / count}


def used(url: str) -> int:
    """Return the bytes of a database."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    query = (
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if engine.dialect.name == "sqlite"
        else "SELECT pg_database_size(current_database())"
    )
    with engine.connect() as connection:
        found = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return found


def show_room(_: int) -> None:
    """Print what a task takes."""
    rows = [
        [name, store, round(part("room", name, store)["bytes"])]
        for name in present()
        if name != "mariadb"
        for store in STORES
    ]
    table("database store bytes", rows)


def show_size(_: int) -> None:
    """Print what an installation adds."""
    plugin = ROOT / "plugins" / "flamepy-sql"
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        before = 0
        for what in (str(ROOT), str(plugin), f"{plugin}[postgresql]", f"{plugin}[mysql]"):
            pip = [f"{folder}/bin/python", "-m", "pip", "--quiet", "install", "--no-compile", what]
            subprocess.run(pip, check=True)
            now = sum(one.stat().st_size for one in Path(folder).rglob("*") if one.is_file())
            if before:
                rows.append([Path(what).name, round((now - before) / 1e6, 1)])
            before = now
    table("installed MB", rows)


# ---------------------------------------------------------------------- parts and tables


def present() -> list[str]:
    """Return the databases that are here."""
    import sql_servers

    found = ["sqlite"]
    for name in DATABASES[1:]:
        reason = sql_servers.missing(name)
        if reason is None:
            found.append(name)
        else:
            print(reason)
    return found


def part(name: str, *arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", name, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(names: str, rows: list[list[object]]) -> None:
    """Print a table, and the load of the machine."""
    lines = [names.split(), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores\n", flush=True)


PARTS = {"send": send, "whole": whole, "room": room}
SHOWN = {"send": show_send, "whole": show_whole, "room": show_room, "size": show_size}


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--part", action="store_true", help="print one measurement as JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.parts[0]](*given.parts[1:])))
        return
    for name in given.parts or SHOWN:
        SHOWN[name](given.rounds)


if __name__ == "__main__":
    main()
