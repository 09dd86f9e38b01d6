"""Measure flamepy-webhook: what is lost and repeated when everything is killed, and what it costs.

``python benchmarks/webhook.py [PART]...`` needs the plugin and ``standardwebhooks``; the parts:

- ``kills``: ``--events`` events of an engine to a receiver that refuses a tenth of the requests; it
  and the sender are killed ``--kills`` times each (SIGKILL) and started again at once. Counts what
  was accepted never, once, and more than once, and requests whose signature is wrong;
- ``rate``: events a second from the engine to a receiver that accepts everything, by format;
- ``send``: the same of ``Webhook.send`` alone, and the CPU that it takes of each event;
- ``size``: what installing the plugin adds to flamepy-informers.

The engine, the receiver and the sender are processes of their own. The receiver writes what it has
accepted into a file before it answers, so a kill of it loses no count.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib.metadata as metadata
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__)
SECRET = "whsec_" + base64.b64encode(b"benchmark" * 4).decode()
SESSIONS = 100
BORN = 1_760_000_000_000  # as of scale_engine
FORMATS = ("structured", "binary", "batch")
LIMIT = 1_800.0  # seconds until a part counts as stuck
PAUSE = 0.1  # seconds between two looks at the receiver's file


# ---------------------------------------------------------------------- the receiver


class Receiver(asyncio.Protocol):
    """A connection of an HTTP server that verifies, records and answers, and does little else."""

    log: int
    refuse: float
    verify: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while True:
            head, end, rest = self.data.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: (\d+)", head) if end else None
            if found is None or len(rest) < int(found[1]):
                return
            self.data = rest[int(found[1]) :]
            self.transport.write(self.answer(head, rest[: int(found[1])]))

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Return the answer to a request, once it is recorded."""
        lines = (line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
        fields = {name.lower(): value for name, value in lines}
        if random.random() < self.refuse:
            return b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        now = time.monotonic()
        try:
            said = self.verify(body, fields)
        except Exception:
            os.write(self.log, b"BAD 0\n")
            return b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
        ids = [fields["ce-id"]] if "ce-id" in fields else []
        ids = ids or [one["id"] for one in (said if isinstance(said, list) else [said])]
        os.write(self.log, "".join(f"{one} {now:.4f}\n" for one in ids).encode())
        return b"HTTP/1.1 204 Yes\r\n\r\n"


async def receive(port: int, log: str, refuse: float) -> None:
    """Serve until it is killed."""
    from standardwebhooks import Webhook

    Receiver.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    Receiver.refuse = refuse
    Receiver.verify = staticmethod(Webhook(SECRET).verify)
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


# ---------------------------------------------------------------------- the sender


def run_sender(endpoint: str, url: str, checkpoint: str, form: str, senders: int) -> None:
    """Send what ends, until it is killed or its standard input ends."""
    from flamepy.informers import Reactor

    logging.disable()  # that some are refused is what the receiver is for
    sink = make_sink(url, form, senders)
    with Reactor(endpoint=endpoint, checkpoint=checkpoint) as reactor:
        reactor.register(sink, uid="webhook", events=["succeeded"])
        print("ready", flush=True)
        sys.stdin.read()
        sink.flush(0.0)


def make_sink(url: str, form: str, senders: int) -> Any:
    """Return the plugin; pauses are short, so that an outage costs a run no minutes."""
    from flamepy_webhook import Webhook

    outbox = {"senders": senders, "backoff_first": 0.05, "backoff_max": 0.5}
    return Webhook(url=url, secret=SECRET, format=form, allow_private=True, outbox=outbox)


# ---------------------------------------------------------------------- processes


class Process:
    """A part of this program, or the engine, in a process that can be killed and started again."""

    def __init__(self, *command: object) -> None:
        self.command = [sys.executable, *map(str, command)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def process(*command: object) -> Iterator[Process]:
    """Run a process until the end of the block."""
    made = Process(*command)
    try:
        yield made
    finally:
        made.kill()


def free_port() -> int:
    """Return a port that a process can be given again and again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Setup:
    """An engine, a receiver and a sender, and what the receiver has recorded."""

    def __init__(self, stack: ExitStack, events: int, *, refuse: float, form: str, senders: int):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.log = folder / "accepted"
        self.log.touch()
        self._file = stack.enter_context(self.log.open())
        self._rest = ""
        self._accepted: list[tuple[str, float]] = []
        self.expected = expected(events)
        engine = stack.enter_context(
            process(HERE.parent / "scale_engine.py", SESSIONS, events // SESSIONS)
        )
        endpoint = f"http://127.0.0.1:{engine.line()}"
        port = free_port()
        url = f"http://127.0.0.1:{port}/"
        self.receiver = stack.enter_context(process(HERE, "receiver", port, self.log, refuse))
        self.receiver.line()
        self.sender = stack.enter_context(
            process(HERE, "sender", endpoint, url, folder / "checkpoint.db", form, senders)
        )
        self.sender.line()

    def accepted(self) -> list[tuple[str, float]]:
        """Return each id that was accepted, and when."""
        self._rest += self._file.read()
        *whole, self._rest = self._rest.split("\n")
        self._accepted += [(one, float(at)) for one, at in map(str.split, whole)]
        return self._accepted

    def wait(self, until: float) -> bool:
        """Wait until everything was accepted, or the monotonic second has come."""
        while time.monotonic() < until:
            got = self.accepted()
            if len(got) >= len(self.expected) and self.expected <= {one for one, _ in got}:
                return True
            pause()
        return False


def pause(seconds: float = PAUSE) -> None:
    """Wait in the only way that needs no thread."""
    signal.sigtimedwait([], seconds)


def expected(events: int) -> set[str]:
    """Return the ids of the events that there are."""
    from flamepy_webhook.cloud_events import id_of

    each = events // SESSIONS
    return {
        id_of(f"s{session}/{task}@{BORN}/succeed")
        for session in range(SESSIONS)
        for task in range(1, each + 1)
    }


# ---------------------------------------------------------------------- parts


def kills(events: int, count: int) -> None:
    """Kill sender and receiver in turn while events are sent."""
    for form, senders in (("structured", 4), ("batch", 1)):
        with ExitStack() as stack:
            setup = Setup(stack, events, refuse=0.1, form=form, senders=senders)
            began = time.monotonic()
            killed = Counter[str]()
            # Kills are spread over the run: each waits for its share of the events.
            for number in range(1, 2 * count + 1):
                share = number * events // (2 * count + 1)
                while len(setup.accepted()) < share and time.monotonic() < began + LIMIT:
                    pause(0.02)
                pause(random.random() * 0.05)
                name = "sender" if number % 2 else "receiver"
                one: Process = getattr(setup, name)
                one.kill()
                one.start()
                killed[name] += 1
            setup.wait(began + LIMIT)
            took = time.monotonic() - began
            pause(2.0)  # what comes too often comes now
            show_kills(setup, form, senders, killed, took)


def show_kills(setup: Setup, form: str, senders: int, killed: Counter[str], took: float) -> None:
    """Print what became of the events."""
    got = Counter(one for one, _ in setup.accepted())
    bad = got.pop("BAD", 0)
    repeated = sum(times - 1 for times in got.values())
    # Of each kill: what a sender has taken and not settled; requests without an answer.
    each = 100 if form == "batch" else 1
    in_flight = senders * (100 * killed["sender"] + each * killed["receiver"])
    print(
        f"kills, {form}, {senders} senders: {len(setup.expected)} events in {took:.0f} s, "
        f"killed {dict(killed)}; lost {len(setup.expected - got.keys())}, "
        f"repeated {repeated} (in flight at kills: {in_flight} at most), "
        f"unknown {len(got.keys() - setup.expected)}, wrong signatures {bad}",
        flush=True,
    )


def rate(events: int) -> None:
    """Measure from the first event that arrives to the last."""
    for form, senders in (*((one, 1) for one in FORMATS), ("structured", 4)):
        with ExitStack() as stack:
            setup = Setup(stack, events, refuse=0.0, form=form, senders=senders)
            setup.wait(time.monotonic() + LIMIT)
            times = [at for _, at in setup.accepted()]
            speed = len(times) / (max(times) - min(times))
            print(f"rate, {form}, {senders} senders: {speed:.0f} events/s", flush=True)


def send(events: int) -> None:
    """Measure ``send`` in this process, without a reactor."""
    entries = made_entries(min(events, 20_000))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with process(HERE, "receiver", port, Path(folder) / "accepted", 0.0) as receiver:
            receiver.line()
            for form in FORMATS:
                sink = make_sink(f"http://127.0.0.1:{port}/", form, 1)
                sink.send(entries[:100])
                began, cpu = time.perf_counter(), time.process_time()
                for at in range(0, len(entries), 100):
                    outcomes = sink.send(entries[at : at + 100])
                    assert all(one.kind.value == "sent" for one in outcomes)
                took = time.perf_counter() - began
                cpu = (time.process_time() - cpu) / len(entries)
                sink.close()
                print(
                    f"send, {form}: {len(entries) / took:.0f} events/s, "
                    f"{cpu * 1e6:.0f} us of CPU each",
                    flush=True,
                )


def made_entries(count: int) -> Sequence[Any]:
    """Return entries of different tasks."""
    from flamepy.core import Task, TaskState
    from flamepy.informers import EventKind, OutboxEntry, TaskEvent

    born = datetime.fromtimestamp(BORN / 1000, timezone.utc)
    events = [
        TaskEvent(
            kind=EventKind.UPDATED,
            application="app",
            endpoint="http://127.0.0.1:8080",
            task=Task(
                id=str(number),
                session_id="s",
                state=TaskState.SUCCEED,
                creation_time=born,
                completion_time=born,
            ),
        )
        for number in range(1, count + 1)
    ]
    return [
        OutboxEntry(id=number, key=one.key, event=one, created=born)
        for number, one in enumerate(events, 1)
    ]


def size() -> None:
    """Add up the files of the plugin and of what it needs."""
    seen = {"flamepy-informers"}
    total = 0
    todo = ["flamepy-webhook"]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another Python
        files = [found.locate_file(one) for one in found.files or () if one.suffix != ".pyc"]
        bytes_ = sum(Path(str(one)).stat().st_size for one in files if Path(str(one)).exists())
        total += bytes_
        print(f"size, {name} {found.version}: {bytes_ / 1e6:.2f} MB")
        wanted = (one for one in found.requires or () if "extra ==" not in one)
        todo.extend(re.split(r"[^A-Za-z0-9._-]", one)[0] for one in wanted)
    print(f"size: {total / 1e6:.2f} MB, compiled files left out")


def main() -> None:
    """Run the parts that are asked for."""
    if sys.argv[1:2] == ["receiver"]:
        asyncio.run(receive(int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
        return
    if sys.argv[1:2] == ["sender"]:
        endpoint, url, checkpoint, form, senders = sys.argv[2:7]
        run_sender(endpoint, url, checkpoint, form, int(senders))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="kills rate send size")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    parts = {
        "kills": lambda: kills(given.events, given.kills),
        "rate": lambda: rate(given.events),
        "send": lambda: send(given.events),
        "size": size,
    }
    for name in given.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
